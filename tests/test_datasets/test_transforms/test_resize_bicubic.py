import cv2
import numpy as np
import pytest
from mmcv.transforms import Resize

from mmtpr.datasets.transforms import ResizeBicubic


def picture(height, width):
    rng = np.random.default_rng(height)
    small = rng.integers(0, 256, (12, 5, 3)).astype(np.uint8)
    noise = rng.normal(0, 6, (height, width, 3))
    return np.clip(cv2.resize(small, (width, height)) + noise, 0, 255).astype(
        np.uint8
    )


@pytest.mark.parametrize('size', [(380, 150), (1000, 420), (60, 25), (9, 9)])
@pytest.mark.parametrize('flipped', [False, True])
def test_nearly_the_pixels_of_pillow(size, flipped):
    img = picture(*size)
    img = img[:, ::-1] if flipped else img
    out = ResizeBicubic((128, 384))(dict(img=img))
    pillow = Resize(
        (128, 384),
        keep_ratio=False,
        backend='pillow',
        interpolation='bicubic',
    )(dict(img=img))
    assert out['img'].dtype == np.uint8
    assert out['img'].flags.c_contiguous
    assert out['img_shape'] == pillow['img_shape'] == (384, 128)
    apart = np.abs(out['img'].astype(int) - pillow['img'])
    assert apart.max() <= 2
    assert apart.mean() < 0.2


def test_what_it_does_not_take():
    with pytest.raises(ValueError, match='must be positive'):
        ResizeBicubic((0, 384))
    for img in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)):
        with pytest.raises(ValueError, match='of uint8, got'):
            ResizeBicubic((8, 8))(dict(img=img))
