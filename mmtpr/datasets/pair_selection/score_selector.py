"""Pairs that a rule on relevance scores allows."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.filtering.consensus import RIGHT, WRONG
from mmtpr.filtering.rules import check_rules, keep_mask
from mmtpr.filtering.scores import RelevanceScores, load_scores
from mmtpr.registry import TASK_UTILS
from mmtpr.structures.pairs import (
    dataset_fingerprint,
    dataset_name,
    serialized_fingerprint,
)

from .selector import PairSelector


@TASK_UTILS.register_module()
class ScoreSelector(PairSelector):
    """Let those pairs train that a scorer found relevant.

    The scores are checked to belong to the dataset. What trains is the same
    throughout a run.

    Args:
        scores (str | RelevanceScores): Score file, written by
            ``tools/filtering/score_relevance.py``, or its content.
        max_rank (int, optional): Keep pairs of at most this rank.
        keep_ratio (float, optional): Keep this share, the best by rank, then
            by score.
        min_score (float, optional): Keep pairs of at least this relevance.
            At least one of the three rules is needed; a pair must satisfy
            all that are given.
        image_key (str, optional): Key of the image path in an entry. Defaults
            to None: ``img_path``.
        caption_key (str, optional): Key of the caption in an entry. Defaults
            to None: the first of ``caption``, ``text``, ``gt_caption``.
        owner (str): Who is named where ``scores`` is none. Defaults to
            ``'ScoreSelector'``.
    """

    def __init__(
        self,
        scores: str | os.PathLike | RelevanceScores,
        max_rank: int | None = None,
        keep_ratio: float | None = None,
        min_score: float | None = None,
        image_key: str | None = None,
        caption_key: str | None = None,
        owner: str = 'ScoreSelector',
    ) -> None:
        if not isinstance(scores, str | os.PathLike | RelevanceScores):
            raise TypeError(
                f'{owner} needs the path of a score file, '
                f'got scores={scores!r}. Write one with '
                'tools/filtering/score_relevance.py, see '
                'docs/user_guides/filtering.md.'
            )
        check_rules(max_rank, keep_ratio, min_score)
        self.rules: dict[str, Any] = dict(
            max_rank=max_rank, keep_ratio=keep_ratio, min_score=min_score
        )
        self.scores = scores
        self.image_key = image_key
        self.caption_key = caption_key
        self._loaded: RelevanceScores | None = None

    def prepare(self) -> None:
        """Read the scores, before the data, which takes longer."""
        if isinstance(self.scores, RelevanceScores):
            self._loaded = self.scores
        else:
            self._loaded = load_scores(self.scores)

    def judge(
        self,
        dataset: Any,
        losses: Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """See :meth:`PairSelector.judge`; of right and wrong alone."""
        if self._loaded is None:
            self.prepare()
        scores: Any = self._loaded
        self._loaded = None  # not in memory while training
        self._check_data(dataset, scores)
        keep = keep_mask(scores.rank, scores.score, **self.rules)
        self._log(dataset, keep, scores)
        return np.where(keep, RIGHT, WRONG).astype(np.uint8)

    def _check_data(self, dataset: Any, scores: RelevanceScores) -> None:
        """Check that the scores were made from these data."""
        theirs = scores.meta['data']
        length, ours = len(dataset), None
        if length == len(scores):
            data = (dataset, self.image_key, self.caption_key)
            quick = theirs.get('serialized')
            if quick and quick == serialized_fingerprint(*data):
                return
            # Scores of former versions, or data that lie elsewhere.
            ours = dataset_fingerprint(*data)
            if ours == theirs['fingerprint']:
                return
        here = f', fingerprint {ours[:12]}' if ours else ''
        raise ValueError(
            f'The relevance scores {self._source} belong to other data: they '
            f'were made from {theirs.get("name", "unknown data")} with '
            f'{len(scores)} pairs (fingerprint '
            f'{theirs["fingerprint"][:12]}), but the dataset here is '
            f'{dataset_name(dataset)} with {length} pairs{here}. Score '
            'these data with tools/filtering/score_relevance.py, or name '
            'the score file that belongs to them.'
        )

    def _log(
        self, dataset: Any, keep: np.ndarray, scores: RelevanceScores
    ) -> None:
        rules = {k: v for k, v in self.rules.items() if v is not None}
        rule = ', '.join(f'{key}={value}' for key, value in rules.items())
        kept, total = int(keep.sum()), len(keep)
        if not kept:
            raise ValueError(
                f'The rule {rule} keeps none of the {total} pairs of '
                f'{dataset_name(dataset)} (scores {self._source}).'
            )
        print_log(
            f'Relevance filter ({rule}): kept {kept} of {total} pairs '
            f'({100 * kept / total:.1f} %), dropped {total - kept}, of them '
            f'{scores.unreadable} with an unreadable image.',
            logger='current',
        )
        bank = scores.meta['bank'].get('size')
        limit = self.rules['max_rank']
        if bank is not None and limit is not None and limit > bank:
            print_log(
                f'max_rank={limit} drops nothing: the bank of {self._source} '
                f'has {bank} captions. Choose a rank below that.',
                logger='current',
                level=logging.WARNING,
            )

    @property
    def _source(self) -> str:
        if isinstance(self.scores, RelevanceScores):
            return 'given'
        return f'"{os.fspath(self.scores)}"'
