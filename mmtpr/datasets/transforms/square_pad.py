"""Square images without distortion."""

import mmcv
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SquarePad(BaseTransform):
    """Pad the shorter side on both ends until the image is square.

    FAFA trains and tests on such images, resized to 224 x 224 afterwards.

    Required Keys: ``img``

    Modified Keys: ``img``

    Args:
        fill (int): Value of the added pixels. Defaults to 0.
    """

    def __init__(self, fill: int = 0) -> None:
        self.fill = fill

    def transform(self, results: dict) -> dict:
        """Pad the image.

        Args:
            results (dict): A sample with ``img`` (H, W, C) or (H, W).

        Returns:
            dict: The sample, ``img`` of height and width max(H, W).
        """
        img = results['img']
        height, width = img.shape[:2]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        results['img'] = mmcv.impad(
            img,
            padding=(left, top, side - width - left, side - height - top),
            pad_val=self.fill,
        )
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(fill={self.fill})'
