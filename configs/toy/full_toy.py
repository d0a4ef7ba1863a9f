# Fine-tuning of all weights on the clean target set.
_base_ = [
    './_base_/data.py',
    './_base_/model.py',
    './_base_/schedule.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=128,
    dataset=dict(_base_.target_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.target_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.target_test, pipeline=_base_.test_pipeline))

model = dict(
    encoder=dict(pretrained=_base_.filtered_weights),
    losses=dict(itc=dict(positives='pid')))

train_cfg = dict(max_epochs=2, val_interval=1)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.05,
        by_epoch=False,
        begin=0,
        end=40),
    dict(
        type='CosineAnnealingLR',
        T_max=1.8,
        begin=0.2,
        end=2,
        convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
auto_scale_lr = dict(base_batch_size=128)
