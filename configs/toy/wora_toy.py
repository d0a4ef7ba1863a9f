# WoRA on the image encoder, on the clean target set.
_base_ = ['./full_toy.py']

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=dict(
            type='mmtpr.OpenCLIPEncoder',
            model=_base_.clip_tiny,
            pretrained=_base_.filtered_weights),
        rank=8,
        alpha=8.0,
        beta=1.0,
        targets=_base_.image_linears,
        trainable=_base_.trainable))
