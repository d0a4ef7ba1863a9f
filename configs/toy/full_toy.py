# Fine-tuning of all weights on the clean target set.
_base_ = [
    './_base_/data.py',
    './_base_/model.py',
    './_base_/schedule.py',
    '../_base_/default_runtime.py',
]

target_train = _base_.target_train
target_train.pipeline = _base_.train_pipeline
target_val = _base_.target_val
target_val.pipeline = _base_.test_pipeline
target_test = _base_.target_test
target_test.pipeline = _base_.test_pipeline

train_dataloader = dict(batch_size=128, dataset=target_train)
val_dataloader = dict(dataset=target_val)
test_dataloader = dict(dataset=target_test)

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
