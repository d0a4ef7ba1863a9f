# CUHK-PEDES for APTM: its images' mean and deviation, captions as they are.
_base_ = ['./cuhk_pedes.py', './person_bert_384x128.py']

normalisation = dict(
    mean=[99.1983, 93.1161, 88.8328], std=[62.0780, 60.5337, 59.5898])

train_images = dict(
    type='mmtpr.ImageTransforms',
    transforms=[
        *_base_.augmented,
        dict(_base_.erase, fill=normalisation['mean'][::-1]),
    ])
train_pipeline = [train_images, *_base_.train_texts]

train_dataloader = dict(
    dataset=dict(_base_.cuhk_train, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.cuhk_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.cuhk_test, pipeline=_base_.test_pipeline))
