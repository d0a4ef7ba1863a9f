# WoRA on the image tower of the cross-modal model, on the clean target set.
_base_ = [
    './_base_/aptm_data.py',
    './_base_/aptm_model.py',
    './_base_/aptm_schedule.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(_base_.target_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.target_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.target_test, pipeline=_base_.test_pipeline))

encoder = _base_.encoder
encoder.pretrained = _base_.pretrained_weights

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=encoder,
        rank=8,
        alpha=8.0,
        beta=1.0,
        targets=_base_.image_linears,
        trainable=_base_.trainable))

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
        T_max=1.9,
        begin=0.1,
        end=2,
        convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
