"""Transforms of composed retrieval."""

import numpy as np
import pytest

from mmtpr.registry import TRANSFORMS


def build(**cfg):
    return TRANSFORMS.build(cfg)


@pytest.mark.parametrize('shape', [(6, 3, 3), (3, 8, 3), (5, 4), (4, 4, 3)])
def test_square_pad_keeps_the_image_in_the_middle(shape):
    img = np.random.default_rng(0).integers(1, 255, shape).astype(np.uint8)
    out = build(type='mmtpr.SquarePad', fill=0)(dict(img=img))['img']
    side = max(shape[:2])
    assert out.shape == (side, side, *shape[2:])
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    inner = out[top : top + shape[0], left : left + shape[1]]
    assert (inner == img).all()
    assert int(out.astype(int).sum()) == int(img.astype(int).sum())


def test_both_images_flip_or_none():
    flip = build(type='mmtpr.SharedFlip', prob=0.5)
    img = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.random.seed(0)
    seen = set()
    for _ in range(30):
        out = flip(dict(img=img, reference_img=img + 1))
        first = bool((out['img'] == img[:, ::-1]).all())
        second = bool((out['reference_img'] == img[:, ::-1] + 1).all())
        assert first == second
        seen.add(first)
    assert seen == {True, False}


def test_flip_passes_over_missing_images():
    flip = build(type='mmtpr.SharedFlip', prob=1)
    img = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    out = flip(dict(img=img))
    assert list(out) == ['img']
    assert (out['img'] == img[:, ::-1]).all()
    with pytest.raises(ValueError, match=r'0\.\.1'):
        build(type='mmtpr.SharedFlip', prob=2)
