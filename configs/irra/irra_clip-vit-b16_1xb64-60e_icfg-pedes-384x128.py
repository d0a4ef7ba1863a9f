# CLIP tuned whole with SDM, ID and MLM on ICFG-PEDES.
_base_ = [
    '../_base_/datasets/icfg_pedes.py',
    '../_base_/datasets/person_384x128.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/schedules/adam_60e.py',
    '../_base_/default_runtime.py',
]

icfg_train = _base_.icfg_train
icfg_train.pipeline = _base_.train_pipeline
icfg_val = _base_.icfg_val
icfg_val.pipeline = _base_.test_pipeline
icfg_test = _base_.icfg_test
icfg_test.pipeline = _base_.test_pipeline

train_dataloader = dict(dataset=icfg_train)
val_dataloader = dict(dataset=icfg_val)
test_dataloader = dict(dataset=icfg_test)

model = dict(losses=dict(id=dict(num_classes=3000)))
