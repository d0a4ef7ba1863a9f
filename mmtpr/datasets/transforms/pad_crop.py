"""Shifting an image by a few pixels."""

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmtpr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PadCrop(BaseTransform):
    """Pad all sides, then cut the original size out at a random place.

    Required Keys: ``img``

    Modified Keys: ``img``

    Args:
        padding (int): Pixels added to each side. Defaults to 10.
        fill (int | tuple[int, ...]): Value of the added pixels, one number
            or one for each channel of ``img``. Defaults to 0.

    Raises:
        ValueError: If ``padding`` is negative.
    """

    def __init__(
        self, padding: int = 10, fill: int | tuple[int, ...] = 0
    ) -> None:
        if padding < 0:
            raise ValueError(f'padding must not be negative, got {padding}.')
        self.padding = padding
        self.fill = fill

    @cache_randomness
    def _offsets(self) -> tuple[int, int]:
        top, left = np.random.randint(0, 2 * self.padding + 1, 2)
        return int(top), int(left)

    def transform(self, results: dict) -> dict:
        """Shift the image.

        Args:
            results (dict): A sample with ``img`` (H, W, C).

        Returns:
            dict: The sample, ``img`` of the same size.
        """
        img = results['img']
        height, width = img.shape[:2]
        fill = self.fill
        if isinstance(fill, (int, float)) and img.ndim == 3:
            fill = (fill,) * img.shape[2]
        top, left = self._offsets()
        above, below = _overhang(top - self.padding)
        before, after = _overhang(left - self.padding)
        kept = img[below : height - above, after : width - before]
        if above + below < height and before + after < width:
            # Padding what stays spares a padded copy of the whole.
            sides = (before, above, after, below)
            results['img'] = mmcv.impad(kept, padding=sides, pad_val=fill)
        else:  # nothing stays of an image smaller than the padding
            padded = mmcv.impad(img, padding=self.padding, pad_val=fill)
            results['img'] = padded[top : top + height, left : left + width]
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(padding={self.padding}, fill={self.fill})'
        )


def _overhang(offset: int) -> tuple[int, int]:
    """Pixels by which a window reaches beyond the first and the last one."""
    return max(-offset, 0), max(offset, 0)
