"""Arguments that an optimizer or the clipping does not take."""

import pytest

from mmtpr.engine.optimizer_arguments import check_optimizer
from mmtpr.utils.errors import LaunchError

ADAMW = dict(type='AdamW', lr=1e-3)


@pytest.mark.parametrize(
    ('wrapper', 'match'),
    [
        (dict(optimizer=dict(type='SGD', lr=1, eps=1)), 'eps: SGD.*_delete_'),
        (dict(optimizer=dict(ADAMW, weight_deca=1)), 'meant: weight_decay'),
        (dict(optimizer=dict(ADAMW, lr=None)), r'optimizer\.lr: it must be'),
        (
            dict(optimizer=dict(type='AdamW'), paramwise_cfg=dict(a=1)),
            'with paramwise_cfg, which multiplies it',
        ),
        (dict(clip_grad=dict(maxnorm=1)), 'clip_grad.maxnorm: .*: max_norm'),
        (dict(clip_grad=dict(norm_type=1)), "type 'norm' needs max_norm"),
        (dict(clip_grad=dict(type='by')), 'must be norm or value'),
        (
            dict(clip_grad=dict(type='value', max_norm=1)),
            'clip_grad.max_norm: .*there is clip_value',
        ),
    ],
)
def test_wrong_arguments(wrapper, match):
    with pytest.raises(LaunchError, match=match):
        check_optimizer(wrapper)


@pytest.mark.parametrize(
    'wrapper',
    [
        None,
        dict(optimizer=dict(type='AdamW')),
        dict(optimizer=dict(ADAMW, betas=(0.9, 0.98), foreach=False)),
        dict(optimizer=dict(type='OfAnotherScope', lr=None, any=1)),
        dict(optimizer=ADAMW, clip_grad=dict(max_norm=1, norm_type=2)),
        dict(clip_grad=dict(type='value', clip_value=1)),
    ],
)
def test_right_arguments(wrapper):
    check_optimizer(wrapper)
