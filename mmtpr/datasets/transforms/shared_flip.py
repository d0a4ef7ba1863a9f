"""The same flip for several images of a sample."""

from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmtpr.registry import TRANSFORMS

#: Types that OpenCV flips.
_QUICK = (np.dtype(np.uint8), np.dtype(np.float32))


@TRANSFORMS.register_module()
class SharedFlip(BaseTransform):
    """Flip all images of a sample, or none, left to right.

    What a sentence says of left and right between a reference and its target
    stays true, which flipping each by itself would break.

    Required Keys: none; keys that a sample lacks are passed over

    Modified Keys: ``keys``

    Args:
        prob (float): Probability of flipping. Defaults to 0.5.
        keys (Sequence[str]): Keys of the images. Defaults to
            ``('img', 'reference_img')``.

    Raises:
        ValueError: If ``prob`` is not in 0..1.
    """

    def __init__(
        self,
        prob: float = 0.5,
        keys: Sequence[str] = ('img', 'reference_img'),
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in 0..1, got {prob}.')
        self.prob = prob
        self.keys = tuple(keys)

    @cache_randomness
    def _draw(self) -> bool:
        return bool(np.random.rand() < self.prob)

    def transform(self, results: dict) -> dict:
        """Flip the images.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        flip = self._draw()
        for key in self.keys:
            if flip and results.get(key) is not None:
                results[key] = _flip(results[key])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, keys={self.keys})'


def _flip(img: np.ndarray) -> np.ndarray:
    """Flip left to right into memory of its own.

    mmcv gives a view that runs backwards, which is slow to read: all that
    comes after would take up to ten times as long.
    """
    if img.dtype not in _QUICK:
        return np.ascontiguousarray(mmcv.imflip(img))
    return cv2.flip(img, 1).reshape(img.shape)
