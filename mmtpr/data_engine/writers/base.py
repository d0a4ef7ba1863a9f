"""What every writer of quadruples can do."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .quadruple import Quadruple


@dataclass(frozen=True)
class Request:
    """A quadruple that is asked for.

    Attributes:
        key (str): Of the record.
        index (int): Of the record.
        metadata (Mapping[str, str]): What it is about.
        seed (int): Of this attempt.
        attempt (int): Counted from 0.
        complaint (str): What was wrong with the answer before.
    """

    key: str
    index: int
    metadata: Mapping[str, str]
    seed: int
    attempt: int = 0
    complaint: str = ''

    def again(self, complaint: str, seed: int) -> 'Request':
        """Ask once more.

        Args:
            complaint (str): What was wrong.
            seed (int): Of the new attempt.

        Returns:
            Request: The next attempt.
        """
        return replace(
            self, attempt=self.attempt + 1, complaint=complaint, seed=seed
        )


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        quadruple (Quadruple | None): None if the answer cannot be read, or
            there was none.
        raw (str): The answer as it came.
        problem (str): Why there is no quadruple, in few words.
        more (dict): Further fields of the record, such as ``truth``.
    """

    quadruple: Quadruple | None
    raw: str = ''
    problem: str = ''
    more: dict[str, Any] = field(default_factory=dict)


class QuadrupleWriter(ABC):
    """Writes quadruples.

    Attributes:
        model (str): Name of the model, for the records.
        prompt_version (str): Of the prompt; '' where there is none.
    """

    model: str
    prompt_version: str = ''

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Tell what decides the answers.

        Returns:
            dict[str, Any]: Plain values.
        """

    @abstractmethod
    def answer(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[Request, Answer]]:
        """Answer requests.

        Args:
            requests (Sequence[Request]): Some.

        Yields:
            tuple[Request, Answer]: Each with its answer, as soon as it is
            there, in any order.

        Raises:
            LaunchError: If nothing can be answered: no server, no model, a
                key that is refused.
        """
