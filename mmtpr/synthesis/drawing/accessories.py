"""Things that people carry and put on their heads."""

from typing import Any

import numpy as np

from ..identities import Identity
from .canvas import Canvas


class Accessories:
    """Drawing of hats and bags, a part of :class:`Figure`.

    It uses the figure's ``who``, ``pose``, ``hat`` and ``bag`` (colours),
    ``shoulder`` and ``hips`` (half widths) and ``hand`` (where it is).
    """

    who: Identity
    pose: Any
    hat: np.ndarray
    bag: np.ndarray
    shoulder: float
    hips: float
    hand: tuple[float, float]

    def draw_hat(self, canvas: Canvas, x: float) -> None:
        """Draw the hat.

        Args:
            canvas (Canvas): Where to.
            x (float): Middle of the head, in units of height.
        """
        kind, brim = self.who.hat, self.hat * 0.75
        if kind == 'sun hat':
            canvas.ellipse((x, 0.038), (0.112, 0.024), brim)
            canvas.ellipse((x, 0.014), (0.056, 0.042), self.hat)
            return
        half = 0.06
        dome = [
            (x + half * np.cos(a), 0.05 - 0.07 * np.sin(a))
            for a in np.linspace(0, np.pi, 12)
        ]
        canvas.polygon(dome, self.hat)
        if kind == 'beanie':
            canvas.limb(
                (x - 0.046, 0.046), (x + 0.046, 0.046), (0.034,) * 2, brim
            )
            canvas.ellipse((x, -0.026), (0.022, 0.02), brim)
        elif not (self.pose.away and self.pose.turn < 0.3):
            reach = 0.03 + 0.055 * self.pose.turn
            start = x - 0.03 * (1 - self.pose.turn)
            canvas.limb((start, 0.047), (x + reach, 0.05), (0.022,) * 2, brim)

    def draw_backpack_behind(self, canvas: Canvas) -> None:
        """Draw what is seen of a backpack from the front.

        Args:
            canvas (Canvas): Where to.
        """
        if self.who.bag == 'backpack':
            shift = -0.075 * self.pose.turn
            half = self.shoulder * 1.02
            canvas.limb(
                (shift - half * 0.5, 0.22),
                (shift - half * 0.5, 0.40),
                (0.1, 0.11),
                self.bag,
            )
            canvas.limb(
                (shift + half * 0.5, 0.22),
                (shift + half * 0.5, 0.40),
                (0.1, 0.11),
                self.bag,
            )

    def draw_bag(self, canvas: Canvas) -> None:
        """Draw the bag as far as it is in front of the body.

        Args:
            canvas (Canvas): Where to.
        """
        kind, dark = self.who.bag, self.bag * 0.7
        if kind == 'backpack':
            self._backpack(canvas, dark)
        elif kind == 'handbag':
            x, y = self.hand[0] + 0.012, self.hand[1]
            canvas.limb((x - 0.03, y + 0.06), (x, y), (0.01, 0.01), dark)
            canvas.limb((x + 0.03, y + 0.06), (x, y), (0.01, 0.01), dark)
            self._box(canvas, x, y + 0.05, 0.065, 0.12)
        elif kind == 'shoulder bag':
            start = (-self.shoulder * 0.75, 0.18)
            x = self.hips * 1.05
            canvas.limb(start, (x, 0.46), (0.028, 0.028), dark)
            self._box(canvas, x, 0.44, 0.065, 0.13)
        elif kind == 'suitcase':
            x = self.hand[0] + 0.055
            canvas.limb(self.hand, (x, 0.7), (0.012, 0.012), dark)
            self._box(canvas, x, 0.68, 0.07, 0.26)
            for side in (-0.05, 0.05):
                canvas.ellipse((x + side, 0.955), (0.016, 0.016), (40,) * 3)

    def _backpack(self, canvas: Canvas, dark: np.ndarray) -> None:
        if not self.pose.away:
            for side in (-1, 1) if self.pose.turn < 0.7 else (1,):
                x = side * self.shoulder * 0.62
                canvas.limb((x, 0.17), (x, 0.38), (0.034, 0.034), self.bag)
            return
        shift = -0.06 * self.pose.turn
        half = self.shoulder * 0.85
        self._box(canvas, shift, 0.19, half, 0.25)
        canvas.limb(
            (shift - half * 0.6, 0.37), (shift + half * 0.6, 0.37),
            (0.05, 0.05), dark,
        )  # fmt: skip

    def _box(
        self, canvas: Canvas, x: float, y: float, half: float, tall: float
    ) -> None:
        corners = [
            (x - half, y + 0.012),
            (x - half + 0.012, y),
            (x + half - 0.012, y),
            (x + half, y + 0.012),
            (x + half, y + tall),
            (x - half, y + tall),
        ]
        canvas.polygon(corners, self.bag)
        low = y + 0.3 * tall
        canvas.limb(
            (x - half * 0.9, low), (x + half * 0.9, low), (0.008,) * 2,
            self.bag * 0.6,
        )  # fmt: skip
