"""Transforms as they were before they were made quick, to compare with."""

import mmcv
import numpy as np
import torch

from mmtpr.datasets.transforms import (
    MaskTokens,
    PadCrop,
    RandomErasingMean,
    SharedFlip,
)


class FormerPadCrop(PadCrop):
    """Pads the whole image, then cuts out of it."""

    def transform(self, results):
        img, fill = results['img'], self.fill
        height, width = img.shape[:2]
        if isinstance(fill, (int, float)) and img.ndim == 3:
            fill = (fill,) * img.shape[2]
        padded = mmcv.impad(img, padding=self.padding, pad_val=fill)
        top, left = self._offsets()
        results['img'] = padded[top : top + height, left : left + width]
        return results


class FormerErasing(RandomErasingMean):
    """Fills pixel by pixel."""

    def transform(self, results):
        img = results['img'].copy()
        box = self._box(*img.shape[:2])
        if box is not None:
            top, left, height, width = box
            fill = np.asarray(self.fill)
            if np.issubdtype(img.dtype, np.integer):
                fill = np.rint(fill)
            fill = fill.astype(img.dtype)
            img[top : top + height, left : left + width] = fill
        results['img'] = img
        return results


class FormerFlip(SharedFlip):
    """Flips to a view."""

    def transform(self, results):
        flip = self._draw()
        for key in self.keys:
            if flip and results.get(key) is not None:
                results[key] = mmcv.imflip(results[key])
        return results


class FormerMasking(MaskTokens):
    """Looks special ids up with numpy's isin."""

    def _choose(self, tokens):
        low, high = self.ordinary
        ordinary = (tokens >= low) & (tokens < high)
        special = np.isin(tokens, self.special_ids)
        places = np.flatnonzero(ordinary & ~special)
        dice = np.random.rand(len(places))
        number = max(int((dice < self.prob).sum()), self.min_masked)
        return np.sort(places[np.argsort(dice)[:number]])


def former_planes(img):
    """An image (H, W, C) as a tensor (C, H, W)."""
    img = img[..., None] if img.ndim == 2 else img
    return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1)))
