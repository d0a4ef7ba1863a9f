# The light FAFA on what the data engine made and its judges let through. The
# steps are given, so that other triplets get as many.
_base_ = ['./fafa_toy.py']

made = 'data/toy_synthesis'
steps = 600

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.SynCPR',
        ann_file=f'{made}/assembled/SynCPR.json',
        data_prefix=dict(img_path=f'{made}/render/images'),
        pipeline=_base_.triplet_pipeline))

train_cfg = dict(
    _delete_=True,
    type='IterBasedTrainLoop',
    max_iters=steps,
    val_interval=steps)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.05,
        by_epoch=False,
        begin=0,
        end=75),
    dict(
        type='CosineAnnealingLR',
        T_max=steps - 75,
        by_epoch=False,
        begin=75,
        end=steps),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=steps))
log_processor = dict(by_epoch=False)
