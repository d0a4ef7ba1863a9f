"""Interface of the generators of synthetic pedestrians."""

from abc import ABC, abstractmethod

import numpy as np

from .identities import Identity


class PedestrianGenerator(ABC):
    """Source of images and captions of people.

    A generator is a pure function of the identity and the view: the same
    arguments give the same result in any process and in any order.
    """

    @abstractmethod
    def draw(self, identity: Identity, view: int) -> np.ndarray:
        """Make an image.

        Args:
            identity (Identity): Who is seen.
            view (int): Which image of this person.

        Returns:
            ndarray: RGB image, (H, W, 3), uint8.
        """

    @abstractmethod
    def describe(
        self, identity: Identity, view: int, index: int = 0, errors: int = 0
    ) -> str:
        """Write a caption.

        Args:
            identity (Identity): Who is described.
            view (int): Which image of this person.
            index (int): Which caption of this image. Defaults to 0.
            errors (int): How many of the attributes that the caption mentions
                are to be wrong. Defaults to 0.

        Returns:
            str: One or two English sentences.
        """

    def generate(
        self, identity: Identity, view: int
    ) -> tuple[np.ndarray, str]:
        """Make an image and its first caption.

        Args:
            identity (Identity): Who is seen.
            view (int): Which image of this person.

        Returns:
            tuple[ndarray, str]: ``draw(...)`` and ``describe(...)``.
        """
        return self.draw(identity, view), self.describe(identity, view)
