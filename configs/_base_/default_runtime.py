# What every run shares: logs, checkpoints, exact resume, processes.
default_scope = 'mmtpr'

# Validation chooses the best checkpoint by this metric.
save_best = 'mAP'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    checkpoint=dict(
        type='mmtpr.AtomicCheckpointHook',
        interval=1,
        save_best=save_best,
        rule='greater',
        max_keep_ckpts=2),
    # Checkpoints that load with weights_only=True, and exact --resume.
    plain_checkpoint=dict(type='mmtpr.PlainCheckpointHook'),
    randomness=dict(type='mmtpr.ReproducibleRandomnessHook'),
    same_batches=dict(type='mmtpr.SameBatchesHook'),
    # Stops at NaN; interval=50 checks less often.
    finite_loss=dict(type='mmtpr.StopOnNonFiniteLossHook'),
    # Parameter counts; alpha and beta of WoRA in the log; adapters as files
    # of their own. Idle on a model without adapters.
    adapter_stats=dict(type='mmtpr.AdapterStatsHook', interval=50),
    adapter_checkpoint=dict(type='mmtpr.AdapterCheckpointHook'))

# Weights & Biases in place of TensorBoard (pip install wandb):
#   --cfg-options visualizer.vis_backends.1.type=WandbVisBackend
visualizer = dict(
    type='Visualizer',
    name='visualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
        dict(type='TensorboardVisBackend'),
    ])

log_processor = dict(type='LogProcessor', window_size=10, by_epoch=True)
log_level = 'INFO'

env_cfg = dict(
    cudnn_benchmark=False,
    # Products of float32 on the tensor cores of a GPU, in training alone;
    # --no-tf32 for full precision, --amp for more speed.
    tf32=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

# deterministic=True makes a resumed run exact on a GPU as well, but slower.
randomness = dict(seed=0, deterministic=False)

load_from = None
resume = False
