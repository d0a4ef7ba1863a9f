"""Drawing in units of a person's height."""

import math
from contextlib import contextmanager

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's drawing functions


def _arc(start: float, end: float, count: int) -> np.ndarray:
    angles = np.linspace(start, end, count, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], 1)


_RING = _arc(0, 2 * np.pi, 20)
# Two half rings, open to the right and to the left: the ends of a stroke.
_BACK = _arc(0.5 * np.pi, 1.5 * np.pi + 0.01, 8)
_FRONT = _arc(-0.5 * np.pi, 0.5 * np.pi + 0.01, 8)


class Canvas:
    """An image and a mask, drawn on in a person's own coordinates.

    Args:
        shape (tuple[int, int]): Height and width in pixels.
        height (float): Height of the person in pixels.
        origin (tuple[float, float]): Pixel (x, y) of the middle of the top of
            the head. ``y = 1`` is the ground.
        mirror (bool): Whether left and right are swapped. Defaults to False.
        broad (float): Widening of everything. Defaults to 1.0.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        height: float,
        origin: tuple[float, float],
        mirror: bool = False,
        broad: float = 1.0,
    ) -> None:
        self._layers = np.zeros((*shape, 4), np.uint8)
        self.height = height
        wide = broad * (-height if mirror else height)
        self._scale = np.array([wide, height])
        self._origin = np.asarray(origin, float)
        self._centre, self._zoom = np.zeros(2), 1.0

    @contextmanager
    def zoom(self, centre: tuple[float, float], factor: float):
        """Draw larger than life inside a ``with`` block.

        Args:
            centre (tuple[float, float]): What stays in place, in units of
                height.
            factor (float): Magnification.

        Yields:
            None
        """
        self._centre, self._zoom = np.asarray(centre, float), factor
        yield
        self._centre, self._zoom = np.zeros(2), 1.0

    @property
    def image(self) -> np.ndarray:
        """The colours, (H, W, 3), uint8."""
        return self._layers[..., :3]

    @property
    def mask(self) -> np.ndarray:
        """Mask of what was drawn, (H, W), uint8, 255 inside."""
        return self._layers[..., 3]

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Find a point in the image.

        Args:
            x (float): To the right of the head's middle, in units of height.
            y (float): Below the top of the head.

        Returns:
            tuple[float, float]: Column and row in pixels.
        """
        return tuple((np.array([x, y]) * self._scale + self._origin).tolist())

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, float)
        points = self._centre + self._zoom * (points - self._centre)
        pixels = points * self._scale + self._origin
        return np.round(pixels * (1 << _SHIFT)).astype(np.int32)

    def polygon(self, points, colour) -> None:
        """Fill a polygon.

        Args:
            points (Sequence): Corners, (N, 2), in units of height.
            colour (Sequence): RGB in [0, 255].
        """
        value = (float(colour[0]), float(colour[1]), float(colour[2]), 255.0)
        cv2.fillPoly(
            self._layers,
            [self._pixels(points)],
            value,
            lineType=cv2.LINE_AA,
            shift=_SHIFT,
        )

    def ellipse(self, centre, radii, colour) -> None:
        """Fill an upright ellipse.

        Args:
            centre (Sequence): Middle (x, y), in units of height.
            radii (Sequence): Half width and half height.
            colour (Sequence): RGB in [0, 255].
        """
        self.polygon(_RING * radii + centre, colour)

    def limb(self, start, end, widths, colour) -> None:
        """Draw a tapered stroke with round ends.

        Args:
            start (Sequence): One end (x, y), in units of height.
            end (Sequence): The other end.
            widths (Sequence): Width at both ends.
            colour (Sequence): RGB in [0, 255].
        """
        x, y = end[0] - start[0], end[1] - start[1]
        length = math.hypot(x, y) + 1e-9
        turn = np.array([[x, y], [-y, x]]) / length
        back = _BACK @ turn * (widths[0] / 2) + start
        front = _FRONT @ turn * (widths[1] / 2) + end
        self.polygon(np.concatenate([back, front]), colour)
