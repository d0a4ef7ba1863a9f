"""Dataset wrapper that keeps the pairs a rule on relevance scores allows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmtpr.registry import DATASETS
from mmtpr.utils.leftovers import refuse_leftovers

from .filtered_dataset import FilteredDataset
from .pair_selection.score_files import Source
from .pair_selection.score_selector import ScoreSelector


@DATASETS.register_module()
@refuse_leftovers
class RelevanceFilteredDataset(FilteredDataset):
    """Keep the image-caption pairs that a scorer found relevant.

    Wraps any dataset whose entries have an image and a caption, in any
    OpenMMLab config. Nothing on disk is changed: the scores are read, checked
    to belong to the wrapped data, and the rule is applied to the list.

    Like mmengine's wrappers it offers no ``get_subset``, which would be
    ambiguous; use ``indices`` of the wrapped dataset, and score that subset.

    Args:
        dataset (dict | BaseDataset): The dataset to filter.
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
            all that are given. In a list they are the rules of the files
            without rules of their own.
        image_key (str, optional): Key of the image path in an entry. Defaults
            to None: ``img_path``.
        caption_key (str, optional): Key of the caption in an entry. Defaults
            to None: the first of ``caption``, ``text``, ``gt_caption``.
        lazy_init (bool): Whether to read annotations and scores only when
            they are needed. Defaults to False.

    Examples:
        >>> train_dataset = dict(
        ...     type='mmtpr.RelevanceFilteredDataset',
        ...     dataset=dict(type='mmtpr.CUHKPEDES', data_root='data/CUHK'),
        ...     scores='work_dirs/scores/cuhk.npz',
        ...     max_rank=1800,
        ... )
        >>> two_files = [
        ...     dict(scores='noisy.npz', max_rank=1800),
        ...     dict(scores='tuned.npz', keep_ratio=0.8),
        ... ]
    """

    def __init__(
        self,
        dataset: Any,
        scores: Source | Sequence[Source | Mapping[str, Any]],
        max_rank: int | None = None,
        keep_ratio: float | None = None,
        min_score: float | None = None,
        image_key: str | None = None,
        caption_key: str | None = None,
        lazy_init: bool = False,
    ) -> None:
        self.selector = ScoreSelector(
            scores,
            max_rank=max_rank,
            keep_ratio=keep_ratio,
            min_score=min_score,
            image_key=image_key,
            caption_key=caption_key,
            owner='RelevanceFilteredDataset',
        )
        super().__init__(dataset, lazy_init)

    def _load_scores(self) -> None:
        """Read the scores, before the data, which takes longer."""
        self.selector.prepare()

    def _keep(self) -> np.ndarray:
        """See :class:`FilteredDataset`."""
        return self.selector.trained(self.selector.judge(self.dataset))
