"""Dataset wrapper that keeps the triplets a rule on judges' fields allows."""

import os
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.filtering.field_rule import check_fields, parse_rule, rule_mask
from mmtpr.filtering.triplet_scores import (
    TRIPLET_FILE,
    TripletScores,
    load_triplet_scores,
)
from mmtpr.registry import DATASETS
from mmtpr.structures.pairs import dataset_name, triplet_fingerprint
from mmtpr.utils.leftovers import refuse_leftovers
from mmtpr.utils.progress import progress

from .filtered_dataset import FilteredDataset


@DATASETS.register_module()
@refuse_leftovers
class TripletFilteredDataset(FilteredDataset):
    """Keep the triplets of composed retrieval that judges found good.

    Wraps any dataset whose entries have a reference, a target and a sentence.
    Nothing on disk is changed: the scores are read, checked to belong to the
    wrapped data, and the rule is applied to the list.

    Args:
        dataset (dict | BaseDataset): The dataset to filter.
        scores (str | TripletScores): Score file, written by
            ``tools/synthesis/assemble_triplets.py``, or its content.
        rule (list[dict]): Terms, joined by and: ``field``, and ``min``,
            ``max`` or ``keep``; see :func:`mmtpr.filtering.parse_rule`.
        reference_key (str): Key of the reference's path in an entry. Defaults
            to ``'reference_path'``.
        target_key (str): Key of the target's path. Defaults to
            ``'img_path'``.
        caption_key (str): Key of the sentence. Defaults to ``'caption'``.
        lazy_init (bool): Whether to read annotations and scores only when
            they are needed. Defaults to False.

    Examples:
        >>> train_dataset = dict(
        ...     type='mmtpr.TripletFilteredDataset',
        ...     dataset=dict(
        ...         type='mmtpr.SynCPR', ann_file='SynCPR_all.json'
        ...     ),
        ...     scores='triplet_scores.npz',
        ...     rule=[dict(field='vlm.same_person', min=3.5)],
        ... )
    """

    def __init__(
        self,
        dataset: Any,
        scores: str | os.PathLike | TripletScores,
        rule: Any,
        reference_key: str = 'reference_path',
        target_key: str = 'img_path',
        caption_key: str = 'caption',
        lazy_init: bool = False,
    ) -> None:
        if not isinstance(scores, str | os.PathLike | TripletScores):
            raise TypeError(
                'TripletFilteredDataset needs the path of a score file, got '
                f'scores={scores!r}. tools/synthesis/assemble_triplets.py '
                'writes one.'
            )
        self.rule = parse_rule(rule)
        self.scores = scores
        self.keys = (reference_key, target_key, caption_key)
        super().__init__(dataset, lazy_init)

    def _load_scores(self) -> None:
        """Read the scores, before the data, which takes longer."""
        if isinstance(self.scores, TripletScores):
            self._loaded = self.scores
        else:
            self._loaded = load_triplet_scores(self.scores)
        check_fields(self.rule, list(self._loaded.columns), self._source)

    def _keep(self) -> np.ndarray:
        """See :class:`FilteredDataset`."""
        scores = self._loaded
        del self._loaded  # not in memory while training
        self._check_data(scores)
        keep = rule_mask(self.rule, scores.columns)
        kept, total = int(keep.sum()), len(keep)
        rule = ', '.join(map(str, self.rule))
        if not kept:
            raise ValueError(
                f'The rule {rule} keeps none of the {total} triplets of '
                f'{dataset_name(self.dataset)} (scores {self._source}).'
            )
        print_log(
            f'Triplet filter ({rule}): kept {kept} of {total} triplets '
            f'({100 * kept / total:.1f} %), dropped {total - kept}.',
            logger='current',
        )
        return keep

    def _check_data(self, scores: TripletScores) -> None:
        theirs = scores.meta['data']
        length, ours = len(self.dataset), ''
        if length == len(scores):
            ours = self._fingerprint()
            if ours == theirs['fingerprint']:
                return
        raise TRIPLET_FILE.other_data(
            self._source, theirs, len(scores), self.dataset, ours
        )

    def _fingerprint(self) -> str:
        references, targets, captions = [], [], []
        with progress(len(self.dataset), 'Reading triplets') as done:
            for index in range(len(self.dataset)):
                info = self.dataset.get_data_info(index)
                absent = [key for key in self.keys if key not in info]
                if absent:
                    raise ValueError(
                        f'The entries of {dataset_name(self.dataset)} have no '
                        f'"{absent[0]}"; they have '
                        f'{", ".join(sorted(map(str, info)))}.'
                    )
                reference, target, caption = (info[key] for key in self.keys)
                references.append(reference)
                targets.append(target)
                captions.append(caption)
                done(1)
        return triplet_fingerprint(references, targets, captions)

    @property
    def _source(self) -> str:
        if isinstance(self.scores, TripletScores):
            return 'given'
        return f'"{os.fspath(self.scores)}"'
