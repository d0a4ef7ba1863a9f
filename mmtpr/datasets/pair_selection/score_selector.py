"""Pairs that a rule on relevance scores allows."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.filtering.consensus import RIGHT, WRONG
from mmtpr.filtering.rules import keep_mask
from mmtpr.filtering.scores import (
    SCORE_FILE,
    RelevanceScores,
    load_scores,
)
from mmtpr.registry import TASK_UTILS
from mmtpr.structures.pairs import (
    dataset_fingerprint,
    dataset_name,
    serialized_fingerprint,
)

from .score_files import ScoreFile, Source, score_files
from .selector import PairSelector


@TASK_UTILS.register_module()
class ScoreSelector(PairSelector):
    """Let those pairs train that a scorer found relevant.

    The scores are checked to belong to the dataset. What trains is the same
    throughout a run.

    Args:
        scores (str | RelevanceScores | list): Score file, written by
            ``tools/filtering/score_relevance.py`` or joined by
            ``tools/filtering/join_scores.py``, or its content; or a list of
            those, of which a pair must pass all. Those of a list that have a
            rule of their own are dicts with ``scores`` and rules.
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
        scores: Source | Sequence[Source | Mapping[str, Any]],
        max_rank: int | None = None,
        keep_ratio: float | None = None,
        min_score: float | None = None,
        image_key: str | None = None,
        caption_key: str | None = None,
        owner: str = 'ScoreSelector',
    ) -> None:
        rules = dict(
            max_rank=max_rank, keep_ratio=keep_ratio, min_score=min_score
        )
        self._files = score_files(scores, rules, owner)
        self.image_key = image_key
        self.caption_key = caption_key
        self._loaded: list[RelevanceScores] | None = None

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules of each file, in the order of the files."""
        return [dict(file.rules) for file in self._files]

    def prepare(self) -> None:
        """Read the scores, before the data, which takes longer."""
        self._loaded = [
            file.source
            if isinstance(file.source, RelevanceScores)
            else load_scores(file.source)
            for file in self._files
        ]

    def judge(
        self,
        dataset: Any,
        losses: Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """See :meth:`PairSelector.judge`; of right and wrong alone."""
        if self._loaded is None:
            self.prepare()
        loaded: Any = self._loaded
        self._loaded = None  # not in memory while training
        masks = []
        for file, scores in zip(self._files, loaded, strict=True):
            self._check_data(dataset, scores, file)
            masks.append(keep_mask(scores.rank, scores.score, **file.rules))
            self._log(dataset, masks[-1], scores, file)
        keep = np.logical_and.reduce(masks)
        if len(masks) > 1:
            self._log_all(dataset, keep)
        return np.where(keep, RIGHT, WRONG).astype(np.uint8)

    def _check_data(
        self, dataset: Any, scores: RelevanceScores, file: ScoreFile
    ) -> None:
        """Check that the scores were made from these data."""
        theirs = scores.data
        length, ours = len(dataset), ''
        if length == len(scores):
            data = (dataset, self.image_key, self.caption_key)
            quick = theirs.get('serialized')
            if quick and quick == serialized_fingerprint(*data):
                return
            # Scores of former versions, or data that lie elsewhere.
            ours = dataset_fingerprint(*data)
            if ours == theirs['fingerprint']:
                return
        raise SCORE_FILE.other_data(file, theirs, len(scores), dataset, ours)

    def _log(
        self,
        dataset: Any,
        keep: np.ndarray,
        scores: RelevanceScores,
        file: ScoreFile,
    ) -> None:
        rule = file.rule
        kept, total = int(keep.sum()), len(keep)
        if not kept:
            raise ValueError(
                f'The rule {rule} keeps none of the {total} pairs of '
                f'{dataset_name(dataset)} (scores {file}).'
            )
        of = f' of {file}' if len(self._files) > 1 else ''
        print_log(
            f'Relevance filter ({rule}{of}): kept {kept} of {total} pairs '
            f'({100 * kept / total:.1f} %), dropped {total - kept}, of them '
            f'{scores.unreadable} with an unreadable image.',
            logger='current',
        )
        bank = scores.meta['bank'].get('size')
        limit = file.rules['max_rank']
        if bank is not None and limit is not None and limit > bank:
            joined = 'join' in scores.meta['scorer']
            what = 'other pairs' if joined else 'captions'
            print_log(
                f'max_rank={limit} drops nothing: the bank of {file} '
                f'has {bank} {what}. Choose a rank below that.',
                logger='current',
                level=logging.WARNING,
            )

    def _log_all(self, dataset: Any, keep: np.ndarray) -> None:
        kept, total = int(keep.sum()), len(keep)
        number = len(self._files)
        if not kept:
            raise ValueError(
                f'No one of the {total} pairs of {dataset_name(dataset)} '
                f'passes the rules of all {number} score files. Keep more by '
                'each, or join the files with tools/filtering/join_scores.py.'
            )
        print_log(
            f'Relevance filter, all {number} files: kept {kept} of {total} '
            f'pairs ({100 * kept / total:.1f} %), dropped {total - kept}.',
            logger='current',
        )
