"""Damage to images, as judges should find it."""

import cv2
import numpy as np

#: Kinds of damage.
DAMAGES = ('noise', 'blocks', 'cut off', 'blur')
#: What a decoder fills with where a file ends too early.
_GREY = 128


def damage(
    image: np.ndarray, how: str, rng: np.random.Generator
) -> np.ndarray:
    """Damage an image.

    Args:
        image (ndarray): RGB image, (H, W, 3), uint8.
        how (str): One of :data:`DAMAGES`: heavy noise, three grey blocks,
            the lower half grey as in a file that ends too early, or a blur
            that leaves no details.
        rng (Generator): Source of randomness.

    Returns:
        ndarray: The damaged image, of the same shape.
    """
    height, width = image.shape[:2]
    if how == 'noise':
        noise = rng.normal(0, rng.uniform(45, 80), image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)
    if how == 'blur':
        strength = rng.uniform(0.05, 0.08) * height
        return cv2.GaussianBlur(image, (0, 0), strength)
    damaged = image.copy()
    if how == 'cut off':
        damaged[int(height * rng.uniform(0.35, 0.65)) :] = _GREY
        return damaged
    if how != 'blocks':
        raise ValueError(
            f'There is no damage "{how}"; there are {", ".join(DAMAGES)}.'
        )
    tall, broad = height // 5, width // 3
    for _ in range(3):
        top = int(rng.integers(0, height - tall + 1))
        left = int(rng.integers(0, width - broad + 1))
        damaged[top : top + tall, left : left + broad] = _GREY
    return damaged
