# CLIP tuned whole with SDM, ID and MLM on RSTPReid.
_base_ = [
    '../_base_/datasets/rstp_reid_clip.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/schedules/adam_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(losses=dict(id=dict(num_classes=3701)))
