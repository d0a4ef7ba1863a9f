"""What every renderer of pairs can do."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class RenderRequest:
    """A pair of images that is asked for.

    Attributes:
        key (str): Of the pair.
        record (Mapping[str, Any]): The row that the writer left.
        pair (int): Which pair of the record, counted from 0.
        seed (int): Of the pair.
    """

    key: str
    record: Mapping[str, Any]
    pair: int
    seed: int


@dataclass(frozen=True)
class Pair:
    """What came of a request.

    Attributes:
        reference (ndarray | None): RGB image, (H, W, 3), uint8; None if
            nothing came of it.
        target (ndarray | None): Likewise.
        beta (float | None): Weight of the LoRA, None without one.
        problem (str): Why there is no pair, in few words.
        more (dict): Further fields of the row, such as ``truth``.
    """

    reference: np.ndarray | None
    target: np.ndarray | None
    beta: float | None = None
    problem: str = ''
    more: dict[str, Any] = field(default_factory=dict)


class PairRenderer(ABC):
    """Renders pairs of images of one person.

    A pair depends on its record and its seed alone: not on what else is
    asked for, on the batch size or on the number of processes.

    Attributes:
        name (str): Goes into the rows.
        prompt_version (str): Of the prompt; '' where there is none.
        per_record (int | None): Pairs of a record where the renderer decides
            it, else None.
    """

    name: str
    prompt_version: str = ''
    per_record: int | None = None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Tell what decides the images.

        Returns:
            dict[str, Any]: Plain values.
        """

    @abstractmethod
    def render(
        self, requests: Sequence[RenderRequest]
    ) -> Iterator[tuple[RenderRequest, Pair]]:
        """Render pairs.

        Args:
            requests (Sequence[RenderRequest]): Some.

        Yields:
            tuple[RenderRequest, Pair]: Each with its pair, as soon as it is
            there, in any order.

        Raises:
            LaunchError: If nothing can be rendered, or in another size.
        """
