"""Bicubic resizing nearly as Pillow does it, in half the time."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch.nn.functional import interpolate

from mmtpr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeBicubic(BaseTransform):
    """Resize an image by bicubic interpolation that also shrinks smoothly.

    An option in place of mmcv's ``Resize`` with ``backend='pillow'`` and
    ``interpolation='bicubic'``: torch computes Pillow's filter with less
    precision, so that of its pixels some differ by 1 of 255. A model should
    be tested as it was trained.

    Required Keys: ``img``

    Modified Keys: ``img``, ``img_shape``

    Args:
        scale (tuple[int, int]): Width and height.

    Raises:
        ValueError: If one of them is less than 1.
    """

    def __init__(self, scale: tuple[int, int]) -> None:
        width, height = scale
        if min(width, height) < 1:
            raise ValueError(f'scale must be positive, got {scale}.')
        self.scale = (width, height)

    def transform(self, results: dict) -> dict:
        """Resize the image.

        Args:
            results (dict): A sample with ``img`` (H, W, C), uint8.

        Returns:
            dict: The sample.

        Raises:
            ValueError: If the image has another type or shape.
        """
        img = results['img']
        if img.dtype != np.uint8 or img.ndim != 3:
            raise ValueError(
                'ResizeBicubic takes images (H, W, C) of uint8, got '
                f'{img.dtype} of shape {img.shape}.'
            )
        planes = torch.from_numpy(np.ascontiguousarray(img))
        planes = planes.permute(2, 0, 1)[None]  # (1, C, H, W), a view
        resized = interpolate(
            planes, self.scale[::-1], mode='bicubic', antialias=True
        )
        out = resized[0].permute(1, 2, 0).numpy()  # (H, W, C)
        results['img'] = np.ascontiguousarray(out)
        results['img_shape'] = out.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale})'
