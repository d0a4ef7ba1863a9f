"""A person drawn from attributes, in a pose."""

from dataclasses import dataclass

import numpy as np

from ..identities import Identity
from .accessories import Accessories
from .canvas import Canvas
from .palette import CLOTHES, HAIR, SKIN, shade

_SHOULDER_Y, _WAIST_Y, _HIP_Y, _KNEE_Y, _ANKLE_Y = 0.18, 0.46, 0.50, 0.73, 0.95

_NECK, _HEAD_SIZE = (0.0, 0.165), 1.3  # as cartoons have it


@dataclass
class Pose:
    """Pose of a person in one view.

    Args:
        turn (float): 0 facing the camera or turned away, 1 seen in profile.
        away (bool): Whether the back is seen.
        stride (float): Swing of the legs, in units of height.
        swing (float): Swing of the arms, in units of height.
        lean (float): Shift of the head against the hips.
    """

    turn: float
    away: bool
    stride: float
    swing: float
    lean: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> 'Pose':
        """Draw a pose.

        Args:
            rng (Generator): Source of randomness.

        Returns:
            Pose: Half of the people turn their back, most of them walk.
        """
        turn = float(rng.choice([0.0, 0.4, 0.8]))
        return cls(
            turn=turn,
            away=bool(rng.random() < 0.4),
            stride=float(rng.uniform(-1, 1)) * (0.03 + 0.09 * turn),
            swing=float(rng.uniform(-1, 1)) * (0.02 + 0.07 * turn),
            lean=float(rng.normal(0, 0.008)),
        )


class Figure(Accessories):
    """Draws one person in one pose onto a canvas.

    Args:
        identity (Identity): Who is drawn.
        pose (Pose): How the person stands.
        look (Generator): Source of what stays the same in all views (skin,
            build, exact shades).
    """

    def __init__(
        self, identity: Identity, pose: Pose, look: np.random.Generator
    ) -> None:
        self.who, self.pose = identity, pose
        self.skin = shade(SKIN[look.integers(len(SKIN))], look, 5)
        self.hair = shade(HAIR[identity.hair_colour], look, 6)
        colours = {
            name: shade(CLOTHES[getattr(identity, name) or 'black'], look, 8)
            for name in (
                'hat_colour',
                'top_colour',
                'bottom_colour',
                'shoes_colour',
                'bag_colour',
            )
        }
        self.hat, self.top, self.bottom, self.shoes, self.bag = (
            colours.values()
        )
        self.build = look.uniform(0.92, 1.1)
        self.inner = CLOTHES['white' if look.random() < 0.6 else 'grey']
        woman = identity.gender == 'woman'
        narrow = 1 - 0.3 * pose.turn
        self.shoulder = (0.09 if woman else 0.122) * self.build * narrow
        self.waist = (0.062 if woman else 0.094) * self.build * narrow
        self.hips = (0.1 if woman else 0.084) * self.build * narrow
        self.near = 0.02 * (1 - pose.turn)

    def draw(self, canvas: Canvas) -> None:
        """Draw the person, far parts first.

        Args:
            canvas (Canvas): Where to.
        """
        if not self.pose.away:
            self.draw_backpack_behind(canvas)
            with canvas.zoom(_NECK, _HEAD_SIZE):
                self._long_hair_behind(canvas)
        self._arm(canvas, -1)
        self._leg(canvas, -1)
        self._leg(canvas, 1)
        self._lower_body(canvas)
        self._torso(canvas)
        self._details(canvas)
        with canvas.zoom(_NECK, _HEAD_SIZE):
            self._head(canvas)
        self._arm(canvas, 1)
        self.draw_bag(canvas)

    def _leg(self, canvas: Canvas, side: int) -> None:
        pose, thick = self.pose, 0.082 * self.build
        hip = (side * self.hips * 0.5, _HIP_Y)
        swing = side * pose.stride
        knee = (hip[0] + 0.5 * swing + side * 0.01, _KNEE_Y)
        lift = 0.015 * abs(pose.stride) / 0.12 * (side < 0)
        ankle = (hip[0] + swing + side * self.near, _ANKLE_Y - lift)
        bare = self.who.bottom != 'trousers'
        lower = self.skin if bare else self.bottom * 0.97
        tone = 0.86 if side < 0 else 1.0
        canvas.limb(knee, ankle, (thick * 0.8, thick * 0.5), lower * tone)
        upper = self.skin if self.who.bottom == 'skirt' else self.bottom
        canvas.limb(hip, knee, (thick * 1.15, thick * 0.85), upper * tone)
        toe = 0.05 * pose.turn + 0.012
        foot = (ankle[0] + toe, ankle[1] + 0.028)
        canvas.limb(ankle, foot, (0.07, 0.074), self.shoes * tone)
        sole = self.shoes * 0.6
        canvas.limb(
            (ankle[0] - 0.012, foot[1] + 0.016),
            (foot[0] + 0.014, foot[1] + 0.016),
            (0.012, 0.012),
            sole,
        )

    def _lower_body(self, canvas: Canvas) -> None:
        hips, y = self.hips * 1.08, _WAIST_Y
        if self.who.bottom == 'skirt':
            hem, end = hips * 1.5 + 0.2 * abs(self.pose.stride), 0.73
        elif self.who.bottom == 'shorts':
            for side in (-1, 1):
                x = side * self.hips * 0.5
                knee = x + 0.4 * side * self.pose.stride
                canvas.limb(
                    (x, _HIP_Y + 0.02),
                    (knee, 0.7),
                    (0.098 * self.build, 0.104 * self.build),
                    self.bottom * (0.92 if side < 0 else 1),
                )
            hem, end = hips, 0.56
        else:
            hem, end = hips, 0.56
        canvas.polygon(
            [(-self.waist, y), (self.waist, y), (hem, end), (-hem, end)],
            self.bottom,
        )

    def _torso(self, canvas: Canvas) -> None:
        s, w, lean = self.shoulder, self.waist, self.pose.lean
        coat = self.who.top == 'coat'
        hem = 0.6 if coat else 0.52
        hip = self.hips * (1.35 if coat else 1.1)
        top, cut = _SHOULDER_Y - 0.012, 0.42 * s
        right = [(s + lean, top + 0.025), (w * 1.02, 0.40), (hip, hem)]
        left = [(-x if i else -s + lean, y) for i, (x, y) in enumerate(right)]
        canvas.polygon(
            [
                (-cut + lean, top - 0.012),
                (cut + lean, top - 0.012),
                *right,
                *left[::-1],
            ],
            self.top,
        )

    def _details(self, canvas: Canvas) -> None:
        kind, lean, w = self.who.top, self.pose.lean, self.waist
        dark = self.top * 0.72
        front = not self.pose.away and self.pose.turn < 0.7
        if kind == 'striped shirt':
            light = np.mean(self.top) > 170
            stripe = self.top * 0.45 if light else self.top * 0.4 + 150
            for y in np.arange(0.22, 0.51, 0.058):
                half = np.interp(y, [0.2, 0.4, 0.52], [self.shoulder, w, w])
                canvas.limb(
                    (-half * 0.9, y), (half * 0.9, y), (0.018, 0.018), stripe
                )
        elif kind == 'hoodie':
            canvas.ellipse((lean, _SHOULDER_Y - 0.01), (0.092, 0.042), dark)
            if front:
                canvas.polygon(
                    [(-w * 0.6, 0.5), (w * 0.6, 0.5), (w * 0.4, 0.41),
                     (-w * 0.4, 0.41)], dark,
                )  # fmt: skip
        elif kind == 'jacket' and front:
            canvas.polygon(
                [(-0.03, 0.17), (0.03, 0.17), (0.026, 0.52), (-0.026, 0.52)],
                self.inner,
            )
        elif kind == 'shirt' and front:
            canvas.limb((lean, 0.18), (0, 0.51), (0.008, 0.008), dark)
            canvas.polygon(
                [(-0.03, 0.165), (0.03, 0.165), (0, 0.2)], self.skin
            )
        if kind == 'coat':
            canvas.limb((-w, 0.43), (w, 0.43), (0.028, 0.028), dark)

    def _arm(self, canvas: Canvas, side: int) -> None:
        pose, thick = self.pose, 0.056 * self.build
        tone = 0.84 if side < 0 else 0.93
        if self.who.top == 'jacket':
            tone *= 0.65
        x = side * self.shoulder * 0.92 + pose.lean
        elbow = (x + side * 0.018 - 0.5 * side * pose.swing, 0.34)
        hand = (elbow[0] - 0.8 * side * pose.swing, 0.475)
        self.hand = hand
        short = self.who.top == 't-shirt'
        canvas.ellipse(hand, (0.02, 0.024), self.skin)
        fore = self.skin if short else self.top
        canvas.limb(elbow, hand, (thick * 0.85, thick * 0.7), fore * tone)
        start = (x, _SHOULDER_Y + 0.03)
        if short:
            canvas.limb(start, elbow, (thick, thick * 0.85), self.skin * tone)
            elbow = (0.45 * x + 0.55 * elbow[0], 0.285)
            thick *= 1.12
        canvas.limb(start, elbow, (thick * 1.1, thick), self.top * tone)

    def _head(self, canvas: Canvas) -> None:
        x, pose = self.pose.lean * 1.6 + 0.008 * self.pose.turn, self.pose
        canvas.limb((x, 0.11), (x, 0.165), (0.05, 0.056), self.skin * 0.9)
        canvas.ellipse((x, 0.078), (0.046, 0.062), self.skin)
        back = -0.02 * pose.turn
        if pose.away and pose.turn < 0.7:
            canvas.ellipse((x, 0.07), (0.05, 0.062), self.hair)
        else:
            canvas.ellipse((x + back, 0.04), (0.051, 0.04), self.hair)
            for side in (-1, 1) if pose.turn < 0.3 else (-1,):
                canvas.limb(
                    (x + side * 0.045, 0.045),
                    (x + side * 0.045, 0.085),
                    (0.016, 0.012),
                    self.hair,
                )
            if pose.turn < 0.7:
                self._face(canvas, x + 0.012 * pose.turn)
        if self.who.hair_length == 'long':
            self._long_hair(canvas, x)
        if self.who.hat != 'none':
            self.draw_hat(canvas, x)

    def _face(self, canvas: Canvas, x: float) -> None:
        for side in (-1, 1):
            canvas.ellipse((x + side * 0.018, 0.08), (0.006, 0.005), (50,) * 3)
        canvas.ellipse((x, 0.112), (0.013, 0.004), self.skin * 0.7)

    def _long_hair_behind(self, canvas: Canvas) -> None:
        if self.who.hair_length == 'long':
            x = self.pose.lean * 1.6
            canvas.ellipse((x, 0.12), (0.07, 0.12), self.hair * 0.85)

    def _long_hair(self, canvas: Canvas, x: float) -> None:
        if self.pose.away and self.pose.turn < 0.7:
            canvas.limb((x, 0.06), (x, 0.27), (0.106, 0.1), self.hair)
            return
        sides = (-1, 1) if self.pose.turn < 0.3 else (-1,)
        width = 0.036 + 0.03 * self.pose.turn
        for side in sides:
            canvas.limb(
                (x + side * 0.046, 0.06),
                (x + side * 0.06, 0.24),
                (width, width * 0.8),
                self.hair,
            )
