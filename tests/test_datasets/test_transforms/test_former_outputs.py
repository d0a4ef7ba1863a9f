"""The same draws give the same images and tokens as ever."""

import mmcv.transforms
import numpy as np
import pytest
import torch
from former_transforms import (
    FormerErasing,
    FormerFlip,
    FormerMasking,
    FormerPadCrop,
    former_planes,
)

from mmtpr.datasets.transforms import (
    MaskTokens,
    PackRetrievalInputs,
    PadCrop,
    RandomErasingMean,
    SharedFlip,
)

PAIRS = [
    (PadCrop(10), FormerPadCrop(10)),
    (PadCrop(3, fill=(9, 8, 7)), FormerPadCrop(3, fill=(9, 8, 7))),
    (PadCrop(0), FormerPadCrop(0)),
    (RandomErasingMean(0.9), FormerErasing(0.9)),
    (SharedFlip(0.5), FormerFlip(0.5)),
    (SharedFlip(0.5), mmcv.transforms.RandomFlip(prob=0.5)),
    (SharedFlip(0.3), mmcv.transforms.RandomFlip(prob=0.3)),
]
SHAPES = [(40, 20, 3), (8, 5, 3), (3, 31, 3)]


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('pair', range(len(PAIRS)))
def test_images(pair, shape, dtype):
    now, former = PAIRS[pair]
    img = noise(shape, dtype)
    before = img.copy()
    for seed in range(60):
        outs, states = [], []
        for transform in (now, former):
            np.random.seed(seed)
            outs.append(transform(dict(img=img))['img'])
            states.append(np.random.rand())
        assert outs[0].dtype == outs[1].dtype
        np.testing.assert_array_equal(*outs)
        assert states[0] == states[1]  # as many draws
        np.testing.assert_array_equal(img, before)  # not changed in place


@pytest.mark.parametrize('shape', [(9, 4), (9, 4, 1), (9, 4, 4)])
def test_flipping_other_shapes_and_types(shape):
    for dtype in (np.uint8, np.int64, np.float64):
        img = noise(shape, dtype)
        out = SharedFlip(1.0)(dict(img=img))['img']
        np.testing.assert_array_equal(out, img[:, ::-1])
        assert out.dtype == dtype
        assert out.flags.c_contiguous


@pytest.mark.parametrize(
    'img',
    [
        noise((40, 20, 3)),
        noise((60, 40, 3))[10:50, 5:25],
        noise((40, 20, 3))[:, ::-1],
        noise((40, 20, 3), np.float32),
        noise((40, 20, 4)),
        noise((40, 20, 1)),
        noise((40, 20)),
    ],
)
def test_packed_images(img):
    out = PackRetrievalInputs()(dict(img=img))['inputs']['image']
    former = former_planes(img)
    assert out.dtype == former.dtype
    assert out.is_contiguous()
    assert torch.equal(out, former)
    # The image may be used again: the tensor has memory of its own.
    copy = out.clone()
    img[:] = 0
    assert torch.equal(out, copy)


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(prob=0.5, min_masked=3),
        dict(mask_id=103, ordinary=(999, 30522)),
        dict(mask_id=5, ordinary=(1, 60), special_ids=(2, 3, 40)),
    ],
)
def test_masked_tokens(options):
    rng = np.random.default_rng(0)
    for seed in range(200):
        high = options.get('ordinary', (1, 49408))[1] + 3
        tokens = torch.from_numpy(rng.integers(0, high, 77))
        outs = []
        for kind in (MaskTokens, FormerMasking):
            np.random.seed(seed)
            outs.append(kind(**options)(dict(tokens=tokens)))
        for name in ('mlm_tokens', 'mlm_labels'):
            assert torch.equal(outs[0][name], outs[1][name])
