# AdamW at 1e-3, cosine after a warm-up, one validation at the end. Magnitudes,
# alpha and beta of adapters are not pulled towards zero.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            '.magnitude': no_decay,
            '.alpha': no_decay,
            '.beta': no_decay,
        }))

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=3)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
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

# Where the stages of `make demo` find each other's weights.
noisy_weights = 'work_dirs/pretrain_toy/epoch_3.pth'
filtered_weights = 'work_dirs/pretrain_toy_filtered/epoch_1.pth'
relevance_scores = 'work_dirs/demo/relevance.npz'
