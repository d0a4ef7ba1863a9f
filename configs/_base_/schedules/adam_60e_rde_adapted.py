# RDE's recipe with the rates of adapters, those of adam_60e_adapted.py.
_base_ = ['./adam_60e_rde.py']

adapter_lr_mult = 10.0

factors = dict(lr_mult=adapter_lr_mult)
scalars = dict(lr_mult=adapter_lr_mult, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'lora_': factors,
            '.magnitude': scalars,
            '.alpha': scalars,
            '.beta': scalars,
        }))
