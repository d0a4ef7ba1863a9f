"""Surroundings of a person: background, ground shadow, things in front."""

import cv2
import numpy as np

from .canvas import Canvas


def _muted(rng: np.random.Generator, low: int = 60, high: int = 200):
    return rng.uniform(low, high) + rng.normal(0, 3, 3)


def background(
    shape: tuple[int, int], rng: np.random.Generator, horizon: float
) -> np.ndarray:
    """Paint a street, a park or a hall.

    Args:
        shape (tuple[int, int]): Height and width in pixels.
        rng (Generator): Source of randomness.
        horizon (float): Height of the line between wall and ground, as a
            fraction of the image.

    Returns:
        ndarray: RGB image, (H, W, 3), uint8.
    """
    height, width = shape
    image: np.ndarray = np.empty((height, width, 3), np.float32)
    line = int(horizon * height)
    park = rng.random() < 0.3
    wall = _muted(rng, 130, 190)
    ground = _muted(rng, 120, 175)
    if park:
        wall = np.array([146.0, 156, 140]) + rng.normal(0, 5, 3)
        if rng.random() < 0.5:
            ground = np.array([150.0, 155, 142]) + rng.normal(0, 5, 3)
    ramp = np.linspace(0.85, 1.12, height, dtype=np.float32)[:, None, None]
    image[:line], image[line:] = wall, ground
    image = np.ascontiguousarray(np.clip(image * ramp, 0, 255))
    (_trees if park else _building)(image, line, wall, rng)
    _paving(image, line, ground, rng)
    texture = rng.normal(0, 7, (height // 8 + 1, width // 8 + 1))
    image += cv2.resize(texture, (width, height))[..., None]
    blur = rng.uniform(0.3, 1.6) * height / 128
    image = cv2.GaussianBlur(image, (0, 0), blur)
    return np.clip(image, 0, 255).astype(np.uint8)


def _building(image, line: int, wall, rng: np.random.Generator) -> None:
    width = image.shape[1]
    columns, rows = rng.integers(1, 4), rng.integers(1, 4)
    offset = rng.uniform(-0.5, 0.5, 2)
    tone = wall * rng.choice([0.82, 0.9, 1.1])
    tint = np.clip(tone + rng.normal(0, 4, 3), 0, 255).tolist()
    if rng.random() < 0.75:
        for column in range(-1, columns + 1):
            for row in range(-1, rows):
                x = (column + 0.2 + offset[0]) * width / columns
                y = (row + 0.2 + offset[1]) * line / rows
                end = (x + 0.6 * width / columns, y + 0.6 * line / rows)
                end = (int(end[0]), min(int(end[1]), line - 1))
                cv2.rectangle(image, (int(x), int(y)), end, tint, -1)
    if rng.random() < 0.3:
        x = int(rng.uniform(0, width))
        cv2.line(image, (x, 0), (x, line), tint, max(1, width // 16))


def _trees(image, line: int, wall, rng: np.random.Generator) -> None:
    width = image.shape[1]
    for _ in range(rng.integers(2, 6)):
        tint = np.clip(wall + rng.normal(0, 6, 3), 0, 255).tolist()
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, line)))
        radius = int(rng.uniform(0.15, 0.45) * width)
        cv2.circle(image, centre, radius, tint, -1, cv2.LINE_AA)


def _paving(image, line: int, ground, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    tint = np.clip(ground * rng.choice([0.8, 1.15]), 0, 255).tolist()
    thick = max(1, height // 128)
    if rng.random() < 0.6:
        for y in np.linspace(line, height, rng.integers(2, 6)):
            cv2.line(image, (0, int(y)), (width, int(y)), tint, thick)
    if rng.random() < 0.6:
        middle = rng.uniform(0, width)
        for x in np.linspace(-width, 2 * width, rng.integers(4, 9)):
            start = (int(0.5 * (x + middle)), line)
            cv2.line(image, start, (int(x), height), tint, thick)


def ground_shadow(image: np.ndarray, canvas: Canvas, strength: float) -> None:
    """Darken the ground below a person, in place.

    Args:
        image (ndarray): RGB image, (H, W, 3), uint8.
        canvas (Canvas): Where the person stands.
        strength (float): 0 for none, 1 for black.
    """
    layer: np.ndarray = np.zeros(image.shape[:2], np.uint8)
    x, y = canvas.pixel(0.01, 0.985)
    axes = (int(0.16 * canvas.height), max(1, int(0.02 * canvas.height)))
    cv2.ellipse(layer, (int(x), int(y)), axes, 0, 0, 360, 255, -1)
    layer = cv2.GaussianBlur(layer, (0, 0), 0.015 * canvas.height)
    keep = 1 - strength * (layer[..., None] / 255.0)
    image[:] = (image * keep).astype(np.uint8)


def occlude(image: np.ndarray, rng: np.random.Generator) -> None:
    """Put a pole, a bench or a passer-by in front, in place.

    Args:
        image (ndarray): RGB image, (H, W, 3), uint8.
        rng (Generator): Source of randomness.
    """
    height, width = image.shape[:2]
    tint = np.clip(_muted(rng, 40, 210), 0, 255).tolist()
    kind = rng.integers(4)
    if kind == 0:
        x, half = rng.uniform(0.1, 0.9) * width, rng.uniform(0.03, 0.07)
        corners = ((x - half * width, 0), (x + half * width, height))
    elif kind == 1:
        top = rng.uniform(0.76, 0.92) * height
        corners = ((0, top), (width, height))
    elif kind == 2:
        left = rng.random() < 0.5
        edge = rng.uniform(0.1, 0.24) * width
        top = rng.uniform(0.1, 0.5) * height
        corners = ((0, top), (edge, height))
        if not left:
            corners = ((width - edge, top), (width, height))
    else:
        middle = rng.uniform(0, 1, 2) * (width, height)
        half = rng.uniform(0.06, 0.14, 2) * (width, height * 0.6)
        corners = (middle - half, middle + half)
    first, second = (tuple(int(v) for v in corner) for corner in corners)
    cv2.rectangle(image, first, second, tint, -1)
