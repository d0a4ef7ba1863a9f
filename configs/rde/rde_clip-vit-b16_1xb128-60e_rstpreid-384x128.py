# RDE on RSTPReid: CLIP tuned whole with TAL, global and selected tokens.
_base_ = [
    '../_base_/datasets/rstp_reid_clip.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/models/selected_tokens.py',
    '../_base_/schedules/adam_60e_rde.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=128, dataset=dict(pipeline=_base_.perturbed_pipeline))

model = dict(
    losses=dict(_delete_=True, **_base_.rde_losses),
    necks=_base_.rde_necks)
