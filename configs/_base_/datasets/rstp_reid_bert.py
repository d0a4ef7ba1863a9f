# RSTPReid for APTM: its images' mean and deviation; of its captions only
# letters and digits stay, as released.
_base_ = ['./rstp_reid.py', './person_bert_384x128.py']

normalisation = dict(
    mean=[70.6926, 66.4678, 77.4322], std=[66.5434, 63.9562, 64.4979])

clean = dict(type='mmtpr.CleanPersonCaption', strip_punctuation=True)
train_images = dict(
    type='mmtpr.ImageTransforms',
    transforms=[
        *_base_.augmented,
        dict(_base_.erase, fill=normalisation['mean'][::-1]),
    ])
train_pipeline = [clean, train_images, *_base_.train_texts]
test_pipeline = [clean, *_base_.test_pipeline]

train_dataloader = dict(
    dataset=dict(_base_.rstp_train, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.rstp_val, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.rstp_test, pipeline=test_pipeline))
