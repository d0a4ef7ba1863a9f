"""What every judge of pairs can do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

#: Fields of a record that a judge may know: all but the truth.
TEXTS = ('reference_caption', 'target_caption', 'edit', 'reverse_edit')


@dataclass(frozen=True)
class JudgeRequest:
    """A pair that is to be judged.

    Attributes:
        key (str): Of the pair.
        index (int): Of the record.
        texts (Mapping[str, str]): The quadruple, by name.
        reference (Path): The reference image.
        target (Path): The target image.
    """

    key: str
    index: int
    texts: Mapping[str, str]
    reference: Path
    target: Path


@dataclass(frozen=True)
class Verdict:
    """What a judge says of a pair.

    Attributes:
        scores (dict[str, float]): By field; higher is better in every field.
        unreadable (bool): Whether an image or an answer could not be read,
            and the scores are the worst there are.
        raw (Any): The answers as they came, None where there are none.
        unanswered (bool): Whether that is so because none came.
    """

    scores: dict[str, float]
    unreadable: bool = False
    raw: Any = field(default=None)
    unanswered: bool = False


#: Gives at most so many pairs of the run, always the same ones.
Sample = Callable[[int], list[JudgeRequest]]


class PairJudge(ABC):
    """Scores pairs.

    Attributes:
        worst (dict[str, float]): The fields, each with the score of a pair
            that cannot be read.
        prompt_version (str): Of the prompt; '' where there is none.
        in_batches (bool): Whether pairs are judged in batches, so that a
            score may depend in its last bits on the pairs beside it. A batch
            that a kill cut off is judged again. Defaults to False.
    """

    worst: Mapping[str, float]
    prompt_version: ClassVar[str] = ''
    in_batches: ClassVar[bool] = False

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Tell what decides the scores.

        Returns:
            dict[str, Any]: Plain values.
        """

    def prepare(self, sample: Sample) -> None:
        """Look at other pairs of the run, before the first is judged.

        Args:
            sample (Callable[[int], list[JudgeRequest]]): Gives readable pairs
                that stand for the run.
        """
        return None

    @abstractmethod
    def judge(
        self, requests: Sequence[JudgeRequest]
    ) -> Iterator[tuple[JudgeRequest, Verdict]]:
        """Judge pairs.

        Args:
            requests (Sequence[JudgeRequest]): Pairs whose images can be read.

        Yields:
            tuple[JudgeRequest, Verdict]: Each with its scores, as soon as
            they are there, in any order.

        Raises:
            LaunchError: If nothing can be judged.
        """
