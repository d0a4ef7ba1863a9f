# Magnitudes and the scalars alpha and beta are not pulled towards zero.
_base_ = ['./adam_60e.py']

# Times the rate of the rest, 1e-5: adapters learn at 1e-4, the rate published
# for Filtering-WoRA.
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
