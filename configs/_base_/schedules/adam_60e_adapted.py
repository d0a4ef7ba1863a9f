# Adapters learn at 1e-4, the rate published for Filtering-WoRA. Magnitudes and
# the scalars alpha and beta are not pulled towards zero.
_base_ = ['./adam_60e.py']

optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'lora_': dict(lr_mult=10.0),
            '.magnitude': dict(lr_mult=10.0, decay_mult=0.0),
            '.alpha': dict(lr_mult=10.0, decay_mult=0.0),
            '.beta': dict(lr_mult=10.0, decay_mult=0.0),
        }))
