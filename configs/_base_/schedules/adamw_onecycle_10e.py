# The recipe of FAFA: 10 epochs, batch 256. Gradients are clipped: a re-run of
# the release without clipping diverged. Run with --amp for bfloat16.
max_epochs = 10

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-6, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0))

param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=2e-6,
        total_steps=max_epochs,
        pct_start=0.02,
        convert_to_iter_based=True),
]

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

auto_scale_lr = dict(base_batch_size=256)
