# CLIP tuned whole with SDM, ID and MLM on RSTPReid.
_base_ = [
    '../_base_/datasets/rstp_reid.py',
    '../_base_/datasets/person_384x128.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/schedules/adam_60e.py',
    '../_base_/default_runtime.py',
]

rstp_train = _base_.rstp_train
rstp_train.pipeline = _base_.train_pipeline
rstp_val = _base_.rstp_val
rstp_val.pipeline = _base_.test_pipeline
rstp_test = _base_.rstp_test
rstp_test.pipeline = _base_.test_pipeline

train_dataloader = dict(dataset=rstp_train)
val_dataloader = dict(dataset=rstp_val)
test_dataloader = dict(dataset=rstp_test)

model = dict(losses=dict(id=dict(num_classes=3701)))
