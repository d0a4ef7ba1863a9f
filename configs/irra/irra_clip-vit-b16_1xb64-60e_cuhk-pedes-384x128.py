# CLIP tuned whole with SDM, ID and MLM: no adapter, no filter.
_base_ = [
    '../_base_/datasets/cuhk_pedes.py',
    '../_base_/datasets/person_384x128.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/schedules/adam_60e.py',
    '../_base_/default_runtime.py',
]

cuhk_train = _base_.cuhk_train
cuhk_train.pipeline = _base_.train_pipeline
cuhk_val = _base_.cuhk_val
cuhk_val.pipeline = _base_.test_pipeline
cuhk_test = _base_.cuhk_test
cuhk_test.pipeline = _base_.test_pipeline

train_dataloader = dict(dataset=cuhk_train)
val_dataloader = dict(dataset=cuhk_val)
test_dataloader = dict(dataset=cuhk_test)

model = dict(losses=dict(id=dict(num_classes=11003)))
