# The recipe of FAFA with the rate of a CLIP: 10 epochs, batch 256, one cycle
# of which 2 % are warm-up. A new TINet and head learn at ten times the rate.
# Gradients are clipped: a re-run of the release without clipping diverged.
new = dict(lr_mult=10.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-5, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        custom_keys={
            'query': new,
            'head': new,
        }))

max_epochs, warmup = 10, 0.2
# OneCycleLR in two parts: its own state cannot be saved as plain values.
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.04,
        begin=0,
        end=warmup,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs - warmup,
        begin=warmup,
        end=max_epochs,
        convert_to_iter_based=True),
]

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

auto_scale_lr = dict(base_batch_size=256)
