"""Camera effects on a scene: light, colour cast, blur, noise."""

import cv2
import numpy as np


def body_light(
    image: np.ndarray, rng: np.random.Generator, scale: float
) -> np.ndarray:
    """Light a figure from one side and add folds.

    Args:
        image (ndarray): RGB image of the figure, (H, W, 3), uint8.
        rng (Generator): Source of randomness.
        scale (float): Size of the folds in pixels.

    Returns:
        ndarray: The image, uint8.
    """
    height, width = image.shape[:2]
    side = rng.uniform(-0.1, 0.1)
    ramp = 1 + side * np.linspace(-1, 1, width, dtype=np.float32)[None]
    cells = (int(height / scale) + 2, int(width / scale) + 2)
    folds = rng.normal(0, 0.025, cells).astype(np.float32)
    light = ramp + cv2.resize(folds, (width, height))
    return np.clip(image * light[..., None], 0, 255).astype(np.uint8)


def photograph(
    image: np.ndarray, rng: np.random.Generator, quality: float = 1.0
) -> np.ndarray:
    """Change exposure and colour, blur, add noise.

    Args:
        image (ndarray): RGB image, (H, W, 3), uint8, at its final size.
        rng (Generator): Source of randomness.
        quality (float): 1 for a street camera; larger is cleaner.

    Returns:
        ndarray: The image, uint8.
    """
    height, width = image.shape[:2]
    spread = 1 / quality
    pixels: np.ndarray = image.astype(np.float32)
    unit = height / 128
    kind = rng.random()
    if kind < 0.6 * spread:
        blur = rng.uniform(0.3, 0.7) * unit
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    elif kind < 0.7 * spread:
        length = max(2, round(rng.uniform(2, 4) * unit))
        pixels = cv2.blur(pixels, (length, 1))
    gain = np.exp(rng.normal(0, 0.06 * spread))
    cast = np.exp(rng.normal(0, 0.02 * spread, 3))
    contrast = np.exp(rng.normal(0, 0.04 * spread))
    mean = pixels.mean()
    pixels = ((pixels - mean) * contrast + mean) * (gain * cast)
    noise = rng.normal(0, rng.uniform(1, 4) * spread, (height, width, 1))
    pixels = pixels + noise + rng.normal(0, 2, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)
