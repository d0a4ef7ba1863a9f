"""Cheap measures of an image: sharpness, exposure, noise, empty areas."""

import cv2
import numpy as np

_CELL = 5  # side of the smallest area that is empty, in pixels
_GRAIN = 4  # levels that JPEG adds to one
_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def sharpness(image: np.ndarray) -> float:
    """Logarithm of the variance of the Laplacian.

    Args:
        image (ndarray): Grey image, (H, W), uint8.

    Returns:
        float: Higher is sharper; noise counts as sharp.
    """
    return float(np.log1p(cv2.Laplacian(image, cv2.CV_32F).var()))


def noise(image: np.ndarray) -> float:
    """Standard deviation of noise, in levels of grey.

    Args:
        image (ndarray): Grey image, (H, W), uint8.

    Returns:
        float: At least 0. Median-based, so that edges count little.

    Source: J. Immerkaer, Fast Noise Variance Estimation, 1996, with the
    median of Donoho's estimate in place of the mean.
    """
    found = cv2.filter2D(image.astype(np.float32), -1, _IMMERKAER)
    inner = np.abs(found[1:-1, 1:-1])
    return float(np.median(inner) / (0.6745 * 6)) if inner.size else 0.0


def exposure(image: np.ndarray) -> float:
    """Share of the pixels that are neither black nor white.

    Args:
        image (ndarray): Grey image, (H, W), uint8.

    Returns:
        float: From 0 to 1.
    """
    return float(((image > 3) & (image < 252)).mean())


def filled(image: np.ndarray) -> float:
    """Share of the image that shows something.

    Areas of a single grey, as decoders and generators leave them, show
    nothing; a plain wall has a grain.

    Args:
        image (ndarray): RGB image, (H, W, 3), uint8.

    Returns:
        float: From 0 to 1.
    """
    pixels = image.astype(np.int16)
    kernel = np.ones((_CELL, _CELL), np.uint8)
    spread = [
        cv2.dilate(channel, kernel) - cv2.erode(channel, kernel)
        for channel in cv2.split(pixels)
    ]  # 3 x (H, W)
    plain = (np.max(spread, 0) <= _GRAIN).astype(np.uint8)  # (H, W)
    return float(1 - cv2.dilate(plain, kernel).mean())
