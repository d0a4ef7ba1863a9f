# LoRA in the place of WoRA, all else equal.
_base_ = ['../wora/wora-r8_clip-vit-b16_1xb64-60e_cuhk-pedes-384x128.py']

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.AdapterModel',
        adapter=dict(type='LoRA', rank=8, alpha=8.0),
        module=_base_.encoder,
        targets=_base_.image_linears,
        trainable=_base_.trainable))
