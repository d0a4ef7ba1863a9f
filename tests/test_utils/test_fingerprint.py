"""Fingerprints of weights, texts and what embeds."""

import copy

from mmengine.config import Config
from torch import nn

from mmtpr.utils.fingerprint import (
    scorer_fingerprint,
    text_fingerprint,
    weights_fingerprint,
)


def test_weights_fingerprint():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    same = copy.deepcopy(model)
    assert weights_fingerprint(model) == weights_fingerprint(same)
    same[0].weight.data[1, 2] += 1e-6
    assert weights_fingerprint(model) != weights_fingerprint(same)
    half = copy.deepcopy(model).bfloat16()
    assert weights_fingerprint(model) != weights_fingerprint(half)


def test_texts_count_with_their_order_and_borders():
    names = [
        text_fingerprint(t) for t in (['ab', 'c'], ['a', 'bc'], ['c', 'ab'])
    ]
    assert len(set(names)) == 3
    assert text_fingerprint(iter(['ab', 'c'])) == names[0]


def test_a_scorer_is_its_weights_its_config_and_its_transforms():
    model, pipeline = nn.Linear(2, 2), [dict(type='Resize', scale=(4, 8))]
    cfg = Config(dict(model=dict(type='X', width=3), seed=1))
    own = scorer_fingerprint(model, cfg, pipeline)
    assert own == scorer_fingerprint(
        model, Config(dict(cfg, seed=2)), pipeline
    )
    other = Config(dict(model=dict(type='X', width=4)))
    assert own != scorer_fingerprint(model, other, pipeline)
    assert own != scorer_fingerprint(model, cfg, [dict(type='Resize')])
    assert own != scorer_fingerprint(nn.Linear(2, 2), cfg, pipeline)
