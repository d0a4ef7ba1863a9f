"""Drawing in units of a person's height."""

from contextlib import contextmanager

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's drawing functions


class Canvas:
    """A picture and a mask, drawn on in a person's own coordinates.

    Args:
        shape (tuple[int, int]): Height and width in pixels.
        height (float): Height of the person in pixels.
        origin (tuple[float, float]): Pixel (x, y) of the middle of the top of
            the head. ``y = 1`` is the ground.
        mirror (bool): Whether left and right are swapped. Defaults to False.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        height: float,
        origin: tuple[float, float],
        mirror: bool = False,
    ) -> None:
        self.image = np.zeros((*shape, 3), np.uint8)
        self.mask = np.zeros(shape, np.uint8)
        self.height = height
        self._scale = np.array([-height if mirror else height, height])
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

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Find a point in the picture.

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

    def _paint(self, draw, *args, colour) -> None:
        value = tuple(float(channel) for channel in colour)
        draw(self.image, *args, value, lineType=cv2.LINE_AA, shift=_SHIFT)
        draw(self.mask, *args, 255, lineType=cv2.LINE_AA, shift=_SHIFT)

    def polygon(self, points, colour) -> None:
        """Fill a polygon.

        Args:
            points (Sequence): Corners, (N, 2), in units of height.
            colour (Sequence): RGB in [0, 255].
        """
        self._paint(cv2.fillPoly, [self._pixels(points)], colour=colour)

    def ellipse(self, centre, radii, colour) -> None:
        """Fill an upright ellipse.

        Args:
            centre (Sequence): Middle (x, y), in units of height.
            radii (Sequence): Half width and half height.
            colour (Sequence): RGB in [0, 255].
        """
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle)], 1)
        self.polygon(ring * radii + centre, colour)

    def limb(self, start, end, widths, colour) -> None:
        """Draw a tapered stroke with round ends.

        Args:
            start (Sequence): One end (x, y), in units of height.
            end (Sequence): The other end.
            widths (Sequence): Width at both ends.
            colour (Sequence): RGB in [0, 255].
        """
        start, end = np.asarray(start, float), np.asarray(end, float)
        along = end - start
        side = np.array([-along[1], along[0]]) / (np.hypot(*along) + 1e-9)
        first, second = side * widths[0] / 2, side * widths[1] / 2
        corners = [start + first, end + second, end - second, start - first]
        self.polygon(corners, colour)
        for centre, width in ((start, widths[0]), (end, widths[1])):
            self.ellipse(centre, (width / 2, width / 2), colour)
