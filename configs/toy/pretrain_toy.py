# Pre-training on the noisy set, 30 % of whose captions are wrong.
_base_ = [
    './_base_/data.py',
    './_base_/model.py',
    './_base_/schedule.py',
    '../_base_/default_runtime.py',
]

noisy_train = _base_.noisy_train
noisy_train.pipeline = _base_.train_pipeline
target_val = _base_.target_val
target_val.pipeline = _base_.test_pipeline
target_test = _base_.target_test
target_test.pipeline = _base_.test_pipeline

train_dataloader = dict(dataset=noisy_train)
val_dataloader = dict(dataset=target_val)
test_dataloader = dict(dataset=target_test)
