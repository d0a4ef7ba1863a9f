"""The procedural pedestrian world."""

import cv2
import numpy as np

from .base import PedestrianGenerator
from .captions import CaptionWriter
from .drawing.camera import body_light, photograph
from .drawing.canvas import Canvas
from .drawing.figure import Figure, Pose
from .drawing.scene import background, ground_shadow, occlude
from .identities import Identity, change_attributes, changeable

_BROAD = 1.3  # few pixels have to show a lot
_LOOK, _IMAGE, _CAPTION = 11, 12, 13  # streams of randomness


class ProceduralWorld(PedestrianGenerator):
    """Pedestrians drawn from polygons, described by grammar.

    Args:
        size (tuple[int, int]): Height and width of the images in pixels.
            Defaults to (128, 64).
        seed (int): Seed of the world. Defaults to 0.
        quality (float): 1 for street cameras; larger for cleaner images
            with fewer things in front, as image generators make them.
            Defaults to 1.
        variety (float): How often captions depart from the usual words and
            order, in [0, 1]. Defaults to 0.25.

    Examples:
        >>> from mmtpr.synthesis import sample_identities
        >>> world = ProceduralWorld(size=(64, 32), seed=1)
        >>> person = sample_identities(1)[0]
        >>> image, caption = world.generate(person, view=0)
        >>> image.shape
        (64, 32, 3)
    """

    def __init__(
        self,
        size: tuple[int, int] = (128, 64),
        seed: int = 0,
        quality: float = 1.0,
        variety: float = 0.25,
    ) -> None:
        if min(size) < 16:
            raise ValueError(f'Images need 16 pixels a side, not {size}.')
        self.size, self.seed = tuple(size), seed
        self.quality, self.variety = quality, variety

    def _rng(self, stream: int, *keys: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, *keys])

    def draw(self, identity: Identity, view: int) -> np.ndarray:
        """Make an image; see :meth:`PedestrianGenerator.draw`.

        Args:
            identity (Identity): Who is seen.
            view (int): Which image of this person.

        Returns:
            ndarray: RGB image, (H, W, 3), uint8.
        """
        rng = self._rng(_IMAGE, identity.number, view)
        factor = 2 if self.size[0] <= 160 else 1  # supersampling
        shape = (self.size[0] * factor, self.size[1] * factor)
        canvas = self._place(shape, rng)
        pose = Pose.random(rng)
        scene = background(shape, rng, rng.uniform(0.3, 0.75))
        ground_shadow(scene, canvas, rng.uniform(0.1, 0.55))
        look = self._rng(_LOOK, identity.number)
        Figure(identity, pose, look).draw(canvas)
        body = body_light(canvas.image, rng, 0.06 * canvas.height)
        alpha = canvas.mask[..., None].astype(np.float32) / 255
        scene = (scene * (1 - alpha) + body * alpha).astype(np.uint8)
        if rng.random() < 0.06 / self.quality:
            occlude(scene, rng)
        if factor > 1:
            scene = cv2.resize(
                scene, self.size[::-1], interpolation=cv2.INTER_AREA
            )
        return photograph(scene, rng, self.quality)

    def _place(
        self, shape: tuple[int, int], rng: np.random.Generator
    ) -> Canvas:
        height, width = shape
        tall = min(height, 2 * width) * rng.uniform(0.87, 0.92)
        top = (height - tall) * rng.uniform(0.65, 0.9)
        middle = width * (0.5 + rng.normal(0, 0.02))
        mirror = bool(rng.random() < 0.5)
        return Canvas(shape, tall, (middle, top), mirror, _BROAD)

    def describe(
        self, identity: Identity, view: int, index: int = 0, errors: int = 0
    ) -> str:
        """Write a caption; see :meth:`PedestrianGenerator.describe`.

        Args:
            identity (Identity): Who is described.
            view (int): Which image of this person.
            index (int): Which caption of this image. Defaults to 0.
            errors (int): Number of mentioned attributes that are wrong.
                Defaults to 0.

        Returns:
            str: One or two English sentences.
        """
        rng = self._rng(_CAPTION, identity.number, view, index, errors)
        writer = CaptionWriter(identity, rng, variety=self.variety)
        if errors:
            names = changeable(identity, writer.mentioned)
            chosen = rng.permutation(len(names))[:errors]
            identity = change_attributes(
                identity, [names[i] for i in chosen], rng
            )
        return writer.write(identity)
