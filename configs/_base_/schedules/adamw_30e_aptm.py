# APTM's fine-tuning: 30 epochs, batch 120 on each of 8 GPUs, AdamW at 1e-4, of
# which 3 epochs are warm-up; then linearly to zero, halved at four times and
# cut to a fifth at seven times the warm-up.
twice = dict(lr_mult=2.0)
optim_wrapper = dict(
    type='OptimWrapper',
    # Biases, norms, magnitudes, alpha and beta do not decay.
    constructor='mmtpr.NoDecayOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW', lr=1e-4, betas=(0.9, 0.98), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            'image_projection': twice,
            'text_projection': twice,
            'itm_head': twice,
            'vision.stages.2.': twice,
            'vision.stages.3.': twice,
            'bert.cls.': twice,
            'encoder.layer.4.': twice,
            'encoder.layer.5.': twice,
            'encoder.layer.10.': twice,
            'encoder.layer.11.': twice,
        }))

max_epochs, warmup = 30, 3
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        begin=0,
        end=warmup,
        convert_to_iter_based=True),
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.0,
        begin=warmup,
        end=max_epochs,
        convert_to_iter_based=True),
    dict(type='MultiStepLR', milestones=[4 * warmup], gamma=0.5),
    dict(type='MultiStepLR', milestones=[7 * warmup], gamma=0.4),
]

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=8 * 120)
