# AdamW at 2e-3, cosine after a warm-up.
optim_wrapper = dict(
    type='OptimWrapper',
    # Biases, norms, magnitudes, alpha and beta do not decay.
    constructor='mmtpr.NoDecayOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=1.0))

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=3)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.05,
        by_epoch=False,
        begin=0,
        end=90),
    dict(
        type='CosineAnnealingLR',
        T_max=2.7,
        begin=0.3,
        end=3,
        convert_to_iter_based=True),
]

auto_scale_lr = dict(base_batch_size=64)

# Where tuning finds the weights of pre-training.
pretrained_weights = 'work_dirs/aptm_pretrain_toy/epoch_3.pth'
