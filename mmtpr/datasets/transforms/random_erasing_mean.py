"""Random erasing."""

import math
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmtpr.registry import TRANSFORMS

#: Mean of CLIP's training images, blue green red, 0..255.
CLIP_MEAN_BGR = (104.0937, 116.7460, 122.7709)


@TRANSFORMS.register_module()
class RandomErasingMean(BaseTransform):
    """Fill a random rectangle with the mean colour.

    Random erasing (Zhong et al., AAAI 2020) on the unnormalised image;
    after normalisation the rectangle is zero.

    Required Keys: ``img``

    Modified Keys: ``img``

    Args:
        prob (float): Probability to erase. Defaults to 0.5.
        area (tuple[float, float]): Range of the rectangle's share of the
            image. Defaults to (0.02, 0.4).
        aspect (tuple[float, float]): Range of height / width, drawn
            uniformly in its logarithm. Defaults to (0.3, 3.3).
        fill (Sequence[float]): Value for each channel, in the order of
            ``img``. Defaults to CLIP's mean, blue green red.
        max_tries (int): Draws until a rectangle fits. Defaults to 10.

    Raises:
        ValueError: If a probability or range is impossible.
    """

    def __init__(
        self,
        prob: float = 0.5,
        area: tuple[float, float] = (0.02, 0.4),
        aspect: tuple[float, float] = (0.3, 3.3),
        fill: Sequence[float] = CLIP_MEAN_BGR,
        max_tries: int = 10,
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in [0, 1], got {prob}.')
        if not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f'area must be a range in (0, 1], got {area}.')
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f'aspect must be a range > 0, got {aspect}.')
        self.prob = prob
        self.area = (area[0], area[1])
        self.aspect = (aspect[0], aspect[1])
        self.fill = tuple(fill)
        self.max_tries = max_tries

    @cache_randomness
    def _box(
        self, height: int, width: int
    ) -> tuple[int, int, int, int] | None:
        """Draw top, left, height and width of the rectangle."""
        if np.random.rand() >= self.prob:
            return None
        low, high = map(math.log, self.aspect)
        for _ in range(self.max_tries):
            size = height * width * np.random.uniform(*self.area)
            ratio = math.exp(np.random.uniform(low, high))
            h, w = round(math.sqrt(size * ratio)), round((size / ratio) ** 0.5)
            if 0 < h < height and 0 < w < width:
                top = np.random.randint(0, height - h + 1)
                left = np.random.randint(0, width - w + 1)
                return int(top), int(left), h, w
        return None

    def transform(self, results: dict) -> dict:
        """Erase a rectangle.

        Args:
            results (dict): A sample with ``img`` (H, W, C).

        Returns:
            dict: The sample.
        """
        img = results['img']
        box = self._box(*img.shape[:2])
        if box is None:
            return results
        top, left, height, width = box
        fill = np.asarray(self.fill)
        if np.issubdtype(img.dtype, np.integer):
            fill = np.rint(fill)
        img = img.copy()
        # numpy writes whole rows many times quicker than single pixels.
        row = np.empty((width, *img.shape[2:]), img.dtype)
        row[:] = fill.astype(img.dtype)
        img[top : top + height, left : left + width] = row
        results['img'] = img
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, area={self.area}, '
            f'aspect={self.aspect}, fill={self.fill})'
        )
