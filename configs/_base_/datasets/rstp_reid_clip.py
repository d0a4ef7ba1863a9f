# RSTPReid for CLIP: images at 384 x 128, captions for its text tower.
_base_ = ['./rstp_reid.py', './person_384x128.py']

train_dataloader = dict(
    dataset=dict(_base_.rstp_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.rstp_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.rstp_test, pipeline=_base_.test_pipeline))
