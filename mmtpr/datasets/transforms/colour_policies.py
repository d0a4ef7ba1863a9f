"""Policies of RandAugment that change each colour by a table.

mmpretrain's policies of the same names, with the same draws and the same
bits. Theirs compute on every pixel what depends on its 256 values alone.
"""

from abc import abstractmethod

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmtpr.registry import TRANSFORMS

#: Counts of OpenCV's histograms are exact up to here.
_MOST_PIXELS = 1 << 24


class ColourPolicy(BaseTransform):
    """Base of policies that change an image with some probability.

    Required Keys: ``img``

    Modified Keys: ``img``

    Args:
        prob (float): Probability of changing the image. Defaults to 0.5.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    @cache_randomness
    def _is_off(self) -> bool:
        return bool(np.random.rand() > self.prob)

    def transform(self, results: dict) -> dict:
        """Change the image.

        Args:
            results (dict): A sample with ``img`` (H, W, C).

        Returns:
            dict: The sample.
        """
        if not self._is_off():
            img = results['img']
            results['img'] = self.change(img).astype(img.dtype, copy=False)
        return results

    @abstractmethod
    def change(self, img: np.ndarray) -> np.ndarray:
        """Change an image.

        Args:
            img (ndarray): Of shape (H, W, C).

        Returns:
            ndarray: Of the same shape; the one given is left as it is.
        """

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'


@TRANSFORMS.register_module()
class Brightness(ColourPolicy):
    """Brighten or darken an image, mmpretrain's policy in a third of the time.

    Args:
        magnitude (float, optional): What is added to the factor of 1, or
            taken from it. Defaults to None, which takes it from the range.
        random_negative_prob (float): Probability of taking it. Defaults to
            0.5.
        prob (float): Probability of changing the image. Defaults to 0.5.
        magnitude_range (tuple[float, float], optional): The magnitude at level
            0 and at the total level. Defaults to None.
        magnitude_level (float): Level. Defaults to 10.
        magnitude_std (float | str): Deviation of the level, or ``'inf'`` to
            draw it between 0 and ``magnitude_level``. Defaults to 0.
        total_level (float): Highest level. Defaults to 10.

    Raises:
        ValueError: Unless one of magnitude and range is given.
    """

    def __init__(
        self,
        magnitude: float | None = None,
        random_negative_prob: float = 0.5,
        prob: float = 0.5,
        magnitude_range: tuple[float, float] | None = None,
        magnitude_level: float = 10,
        magnitude_std: float | str = 0.0,
        total_level: float = 10,
    ) -> None:
        super().__init__(prob)
        if (magnitude is None) == (magnitude_range is None):
            raise ValueError(
                f'{type(self).__name__} takes magnitude or magnitude_range, '
                f'got {magnitude} and {magnitude_range}.'
            )
        self.magnitude = magnitude
        self.random_negative_prob = random_negative_prob
        self.magnitude_range = magnitude_range
        self.magnitude_level = magnitude_level
        self.magnitude_std = magnitude_std
        self.total_level = total_level

    @cache_randomness
    def _draw(self) -> float:
        """Draw the magnitude with its sign."""
        value = self.magnitude
        if self.magnitude_range is not None:
            level = self.magnitude_level
            if isinstance(self.magnitude_std, str):
                level = np.random.uniform(0, level)
            elif self.magnitude_std > 0:
                level = np.random.normal(level, self.magnitude_std)
                level = np.clip(level, 0, self.total_level)
            low, high = self.magnitude_range
            value = (level / self.total_level) * (high - low) + low
        assert value is not None
        less = np.random.rand() < self.random_negative_prob
        return -value if less else value

    def change(self, img: np.ndarray) -> np.ndarray:
        """See :meth:`ColourPolicy.change`.

        Args:
            img (ndarray): Of shape (H, W, C).

        Returns:
            ndarray: Of the same shape.
        """
        factor = 1 + self._draw()
        if factor == 1:
            return img
        if img.dtype != np.uint8:
            return mmcv.adjust_brightness(img, factor)
        values = np.arange(256, dtype=np.uint8)[None]  # (1, 256)
        table = mmcv.adjust_brightness(values, factor)
        return cv2.LUT(img, table).reshape(img.shape)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(magnitude={self.magnitude}, '
            f'magnitude_range={self.magnitude_range}, '
            f'magnitude_level={self.magnitude_level}, '
            f'random_negative_prob={self.random_negative_prob}, '
            f'prob={self.prob})'
        )


class _HistogramPolicy(ColourPolicy):
    """Base of policies whose table follows from a channel's histogram."""

    def change(self, img: np.ndarray) -> np.ndarray:
        """See :meth:`ColourPolicy.change`.

        Args:
            img (ndarray): Of shape (H, W, 3).

        Returns:
            ndarray: Of the same shape.
        """
        pixels = img.shape[0] * img.shape[1]
        quick = img.dtype == np.uint8 and img.shape[2:] == (3,)
        if not quick or pixels > _MOST_PIXELS:
            return self.plain(img)
        tables = [self.table(_histogram(img, channel)) for channel in range(3)]
        return cv2.LUT(img, np.stack(tables, -1)[None])  # (1, 256, 3)

    @staticmethod
    @abstractmethod
    def plain(img: np.ndarray) -> np.ndarray:
        """Change an image of whatever type."""

    @staticmethod
    @abstractmethod
    def table(counts: np.ndarray) -> np.ndarray:
        """New values, (256, ), uint8, from the counts of the old, (256, )."""


@TRANSFORMS.register_module()
class Equalize(_HistogramPolicy):
    """Make all values of a channel equally frequent, as mmpretrain's policy.

    Args:
        prob (float): Probability of changing the image. Defaults to 0.5.
    """

    plain = staticmethod(mmcv.imequalize)

    @staticmethod
    def table(counts: np.ndarray) -> np.ndarray:
        """New value of each old one.

        Args:
            counts (ndarray): Pixels of each value, (256, ), int.

        Returns:
            ndarray: Of shape (256, ), uint8.
        """
        present = counts[counts > 0]
        step = (present.sum() - present[-1]) // 255
        if not step:
            return np.arange(256, dtype=np.uint8)
        below = np.cumsum(counts) - counts  # (256, )
        table = (below + step // 2) // step
        return np.minimum(table, 255).astype(np.uint8)


@TRANSFORMS.register_module()
class AutoContrast(_HistogramPolicy):
    """Stretch the values of a channel to 0..255, as mmpretrain's policy.

    Args:
        prob (float): Probability of changing the image. Defaults to 0.5.
    """

    plain = staticmethod(mmcv.auto_contrast)

    @staticmethod
    def table(counts: np.ndarray) -> np.ndarray:
        """New value of each old one.

        Args:
            counts (ndarray): Pixels of each value, (256, ), int.

        Returns:
            ndarray: Of shape (256, ), uint8.
        """
        low, high = np.flatnonzero(counts)[[0, -1]]
        values = np.arange(256)
        if low >= high:
            return values.astype(np.uint8)
        scale = 255.0 / (high - low)
        return np.clip(values * scale - low * scale, 0, 255).astype(np.uint8)


def _histogram(img: np.ndarray, channel: int) -> np.ndarray:
    """Pixels of each value of a channel, (256, ), int."""
    counts = cv2.calcHist([img], [channel], None, [256], [0, 256])
    return counts.reshape(-1).astype(np.int64)
