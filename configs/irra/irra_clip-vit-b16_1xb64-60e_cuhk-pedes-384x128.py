# CLIP tuned whole with SDM, ID and MLM: no adapter, no filter.
_base_ = [
    '../_base_/datasets/cuhk_pedes_clip.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/schedules/adam_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(losses=dict(id=dict(num_classes=11003)))
