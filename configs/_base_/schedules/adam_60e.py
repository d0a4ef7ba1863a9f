# The recipe of IRRA: 60 epochs, batch 64, cosine after 5 epochs of warm-up.
heads = dict(lr_mult=5.0)  # new, not pretrained
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-5, eps=1e-3, weight_decay=4e-5),
    paramwise_cfg=dict(
        custom_keys={
            'bias': dict(lr_mult=2.0, decay_mult=0.0),
            'losses.id': heads,
            'losses.mlm': heads,
        }))

max_epochs, warmup = 60, 5
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
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

auto_scale_lr = dict(base_batch_size=64)
