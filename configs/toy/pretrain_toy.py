# Pre-training on the noisy set, 30 % of whose captions are wrong.
_base_ = [
    './_base_/data.py',
    './_base_/model.py',
    './_base_/schedule.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(_base_.noisy_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.target_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.target_test, pipeline=_base_.test_pipeline))
