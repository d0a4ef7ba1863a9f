# A scorer tuned on the clean target set first, as data filtering networks are,
# and asked to see a single wrong word. It scores the noisy set with the config
# that it was pre-trained by, pretrain_toy.py.
_base_ = ['./full_toy.py']

model = dict(
    encoder=dict(pretrained=_base_.noisy_weights),
    losses=dict(swapped=dict(type='mmtpr.SwappedWordsLoss')))

# Longer than a tuning that is tested: it is paid once, and scoring costs what
# it costs with any model.
train_cfg = dict(max_epochs=8, val_interval=8)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.05,
        by_epoch=False,
        begin=0,
        end=40),
    dict(
        type='CosineAnnealingLR',
        T_max=7.8,
        begin=0.2,
        end=8,
        convert_to_iter_based=True),
]
