"""Colour policies change images as mmpretrain's do, bit for bit."""

import copy

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtpr.registry import TRANSFORMS

pytest.importorskip('mmpretrain', reason='the peer needs mmpretrain')

POLICIES = [
    dict(type='AutoContrast', prob=0.8),
    dict(type='Equalize', prob=0.8),
    dict(type='Brightness', magnitude=0.0, prob=0.8),
    dict(type='Brightness', magnitude=0.37, prob=0.8),
    dict(
        type='Brightness',
        magnitude_range=(-0.9, 0.9),
        magnitude_level=7,
        prob=0.8,
    ),
    dict(
        type='Brightness',
        magnitude_range=(0, 0.9),
        magnitude_std=2.5,
        prob=0.8,
    ),
    dict(
        type='Brightness',
        magnitude_range=(0, 0.9),
        magnitude_std='inf',
        random_negative_prob=0.2,
        prob=0.8,
    ),
]


def images():
    rng = np.random.default_rng(0)
    yield rng.integers(0, 256, (37, 19, 3), np.uint8)
    yield rng.integers(90, 120, (384, 128, 3), np.uint8)
    yield np.full((8, 8, 3), 77, np.uint8)
    two = np.zeros((8, 8, 3), np.uint8)
    two[:4, :, 1] = 255
    yield two
    yield rng.integers(0, 256, (384, 128, 3), np.uint8)[:, ::-1]
    yield np.arange(256 * 12, dtype=np.uint8).reshape(64, 16, 3)
    yield (rng.normal(128, 30, (384, 128, 3)).clip(0, 255)).astype(np.uint8)
    # Few pixels and many: steps of 0, of 1 and above.
    for side in (10, 16, 17, 23, 30):
        yield rng.integers(0, 256, (side, side, 3), np.uint8)


@pytest.mark.parametrize('policy', POLICIES, ids=str)
def test_the_same_bits_as_mmpretrain(policy):
    init_default_scope('mmtpr')
    pair = [
        TRANSFORMS.build(dict(policy, type=f'{scope}.{policy["type"]}'))
        for scope in ('mmtpr', 'mmpretrain')
    ]
    changed = 0
    for image in images():
        for seed in range(20):
            outs, states = [], []
            for transform in pair:
                np.random.seed(seed)
                out = transform(dict(img=image.copy()))['img']
                outs.append(out)
                states.append(np.random.rand())
            np.testing.assert_array_equal(*outs)
            assert outs[0].dtype == outs[1].dtype
            assert states[0] == states[1]
            changed += bool((outs[0] != image).any())
    assert changed or policy.get('magnitude') == 0


@pytest.mark.parametrize('policy', POLICIES[:4], ids=str)
def test_other_types_are_left_to_mmcv(policy):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3))
    image = image.astype(np.int16)
    pair = [
        TRANSFORMS.build(dict(policy, type=f'{scope}.{policy["type"]}'))
        for scope in ('mmtpr', 'mmpretrain')
    ]
    for seed in range(5):
        outs = []
        for transform in pair:
            np.random.seed(seed)
            outs.append(transform(dict(img=image.copy()))['img'])
        np.testing.assert_array_equal(*outs)


def test_the_augmentation_of_aptm_is_what_it_was(repo_root):
    path = repo_root / 'configs/_base_/datasets/person_bert_384x128.py'
    now = Config.fromfile(path).augment.to_dict()
    former = copy.deepcopy(now)
    ours = 0
    for policy in former['policies']:
        scope, name = policy['type'].split('.')
        ours += scope == 'mmtpr'
        policy['type'] = f'mmpretrain.{name}'
    assert ours == 4
    pair = [TRANSFORMS.build(cfg) for cfg in (now, former)]
    image = [*images()][6]
    for seed in range(150):
        outs = []
        for transform in pair:
            np.random.seed(seed)
            outs.append(transform(dict(img=image.copy()))['img'])
        np.testing.assert_array_equal(*outs)


def test_a_magnitude_is_needed():
    for options in ({}, dict(magnitude=0.1, magnitude_range=(0, 1))):
        with pytest.raises(ValueError, match='magnitude or magnitude_range'):
            TRANSFORMS.build(dict(type='mmtpr.Brightness', **options))
