# WoRA on the image encoder of CLIP.
_base_ = ['./clip_vit_b16_adapted.py']

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=_base_.encoder,
        rank=8,
        alpha=8.0,
        beta=1.0,
        targets=_base_.image_linears,
        trainable=_base_.trainable))
