# ICFG-PEDES for APTM: its images' mean and deviation; of its captions only
# letters and digits stay, as released.
_base_ = ['./icfg_pedes.py', './person_bert_384x128.py']

normalisation = dict(
    mean=[78.9010, 73.8401, 77.3856], std=[65.9170, 62.5966, 60.3381])

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
    dataset=dict(_base_.icfg_train, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.icfg_val, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.icfg_test, pipeline=test_pipeline))
