# LoRA on the image encoder, otherwise as wora_toy.py.
_base_ = ['./full_toy.py']

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.AdapterModel',
        adapter=dict(type='LoRA', rank=8, alpha=8.0),
        module=dict(
            type='mmtpr.OpenCLIPEncoder',
            model=_base_.clip_tiny,
            pretrained=_base_.filtered_weights),
        targets=_base_.image_linears,
        trainable=_base_.trainable))
