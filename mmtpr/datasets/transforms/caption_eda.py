"""Easy data augmentation of captions."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.utils import read_json

_OPERATIONS = ('replace', 'insert', 'swap', 'delete')


@TRANSFORMS.register_module()
class CaptionEDA(BaseTransform):
    """Change a few words of a caption.

    Easy data augmentation (Wei and Zou, EMNLP 2019) as APTM's fine-tuning
    uses it: one of four operations is drawn for each caption. ``swap``
    exchanges two words and ``replace`` and ``insert`` use a synonym,
    ``alpha * words`` times but at least once; ``delete`` drops each word
    with probability ``alpha`` and keeps at least one. A sample without
    caption passes unchanged.

    Required Keys: none

    Modified Keys: ``target``

    Args:
        synonyms (dict | str, optional): Synonyms by lower-case word,
            ``dict(bag=['handbag', 'purse'])``, or a json file of it. Without
            it ``replace`` and ``insert`` are not drawn. Defaults to None.
        alpha (float): Share of the words changed. Defaults to 0.1.
        operations (Sequence[str]): Operations to draw from.
        prob (float): Probability to change a caption. Defaults to 1.
        source (str): Key to read. Defaults to ``'caption'``.
        target (str, optional): Key to write; by default the one read.

    Raises:
        ValueError: If an operation is unknown, a number is out of range, or
            no operation is left without synonyms.
    """

    def __init__(
        self,
        synonyms: dict[str, list[str]] | str | None = None,
        alpha: float = 0.1,
        operations: Sequence[str] = _OPERATIONS,
        prob: float = 1.0,
        source: str = 'caption',
        target: str | None = None,
    ) -> None:
        if unknown := set(operations) - set(_OPERATIONS):
            raise ValueError(
                f'Unknown operations {sorted(unknown)}; choose among '
                f'{_OPERATIONS}.'
            )
        if not (0 < alpha <= 1 and 0 <= prob <= 1):
            raise ValueError(
                f'alpha={alpha} must be in (0, 1] and prob={prob} in [0, 1].'
            )
        if isinstance(synonyms, (str, os.PathLike)):
            synonyms = read_json(synonyms, 'table of synonyms')
        table: Any = synonyms or {}
        self.synonyms: dict[str, list[str]] = dict(table)
        if not self.synonyms:
            operations = [o for o in operations if o in ('swap', 'delete')]
        if not operations:
            raise ValueError(
                'The operations "replace" and "insert" need synonyms.'
            )
        self.operations = tuple(operations)
        self.alpha, self.prob = alpha, prob
        self.source, self.target = source, target or source

    def transform(self, results: dict) -> dict:
        """Augment the caption.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        caption = results.get(self.source)
        if caption is None:
            return results
        words = caption.split()
        if words and np.random.rand() < self.prob:
            name = self.operations[np.random.randint(len(self.operations))]
            words = getattr(self, f'_{name}')(words)
            caption = ' '.join(words)
        results[self.target] = caption
        return results

    def _times(self, words: list[str]) -> int:
        return max(1, int(self.alpha * len(words)))

    def _swap(self, words: list[str]) -> list[str]:
        for _ in range(self._times(words) if len(words) > 1 else 0):
            i, j = np.random.choice(len(words), 2, replace=False)
            words[i], words[j] = words[j], words[i]
        return words

    def _delete(self, words: list[str]) -> list[str]:
        keep = np.random.rand(len(words)) >= self.alpha
        if not keep.any():
            keep[np.random.randint(len(words))] = True
        return [word for word, kept in zip(words, keep, strict=True) if kept]

    def _replace(self, words: list[str]) -> list[str]:
        places = [i for i, w in enumerate(words) if self._lookup(w)]
        number = min(self._times(words), len(places))
        for i in np.random.permutation(places)[:number]:
            words[int(i)] = self._synonym(words[int(i)])
        return words

    def _insert(self, words: list[str]) -> list[str]:
        known = [w for w in words if self._lookup(w)]
        for _ in range(self._times(words) if known else 0):
            word = known[np.random.randint(len(known))]
            place = np.random.randint(len(words) + 1)
            words.insert(place, self._synonym(word, bare=True))
        return words

    def _lookup(self, word: str) -> list[str]:
        return self.synonyms.get(word.strip('.,;:!?').lower(), [])

    def _synonym(self, word: str, bare: bool = False) -> str:
        """Draw a synonym that keeps the punctuation around the word."""
        choices = self._lookup(word)
        choice = choices[np.random.randint(len(choices))]
        core = word.strip('.,;:!?')
        return choice if bare else word.replace(core, choice, 1)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(alpha={self.alpha}, '
            f'operations={self.operations}, prob={self.prob}, '
            f'synonyms={len(self.synonyms)} words)'
        )
