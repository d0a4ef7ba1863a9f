# The recipe of RDE: IRRA's with a batch of 128, and 1e-3, a hundred times the
# rate of the rest, for the layers of selected tokens, biases included.
_base_ = ['./adam_60e.py']

neck_lr_mult = 100.0
rates = dict(lr_mult=neck_lr_mult)
biases = dict(lr_mult=neck_lr_mult, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            '_delete_': True,
            'bias': dict(lr_mult=2.0, decay_mult=0.0),
            'necks.': rates,
            # The longest key that fits is taken.
            'shortcut.bias': biases,
            'hidden.bias': biases,
            'norm.bias': biases,
            'output.bias': biases,
        }))

auto_scale_lr = dict(base_batch_size=128)
