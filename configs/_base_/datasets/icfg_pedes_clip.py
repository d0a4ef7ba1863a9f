# ICFG-PEDES for CLIP: images at 384 x 128, captions for its text tower.
_base_ = ['./icfg_pedes.py', './person_384x128.py']

train_dataloader = dict(
    dataset=dict(_base_.icfg_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.icfg_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.icfg_test, pipeline=_base_.test_pipeline))
