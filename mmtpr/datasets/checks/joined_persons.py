"""Datasets of persons, one after the other."""

import logging
from collections.abc import Sequence
from typing import Any

import mmengine.dataset
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmtpr.registry import DATASETS

from ..annotations.records import GUIDE
from ..text_person_dataset import TextPersonDataset

#: Meta information of one dataset, which the joined ones need not share.
OF_ONE_DATASET = (
    'dataset_name',
    'split',
    'num_pids',
    'num_images',
    'num_captions',
    'num_attributes',
)


@DATASETS.register_module()
class ConcatDataset(mmengine.dataset.ConcatDataset):
    """Join datasets, and refuse to make one person of two.

    As mmengine's, which it replaces within mmtpr's scope. Identities of each
    training set are numbered from 0, so that two sets of different persons
    need ``pid_offset``: without it strangers would be one person, for losses
    and samplers alike.

    Args:
        datasets (Sequence[dict | BaseDataset]): The datasets.
        lazy_init (bool): See mmengine. Defaults to False.
        ignore_keys (str | Sequence[str], optional): Keys of the meta
            information that may differ. Defaults to None:
            :data:`OF_ONE_DATASET`.
        same_persons (bool): Whether equal identities are the same persons on
            purpose. Defaults to False.

    Raises:
        ValueError: If two sets of persons have identities in common and
            ``same_persons`` is False.
    """

    def __init__(
        self,
        datasets: Sequence[dict | BaseDataset],
        lazy_init: bool = False,
        ignore_keys: str | Sequence[str] | None = None,
        same_persons: bool = False,
    ) -> None:
        self.same_persons = same_persons
        keys: Any = OF_ONE_DATASET if ignore_keys is None else ignore_keys
        keys = [keys] if isinstance(keys, str) else [*keys]
        super().__init__(datasets, lazy_init, keys)

    def full_init(self) -> None:
        """Load all datasets and compare their identities."""
        if self._fully_initialized:
            return
        super().full_init()
        if not self.same_persons:
            self._check_persons()

    def _check_persons(self) -> None:
        seen: list[tuple[str, np.ndarray]] = []
        for number, dataset in enumerate(self.datasets):
            pids = _pids(dataset)
            if pids is None:
                continue
            name = f'dataset {number} ({_name(dataset)})'
            for other, known in seen:
                common = np.intersect1d(known, pids, assume_unique=True)
                if len(common):
                    raise ValueError(
                        f'{name} and {other} of ConcatDataset have '
                        f'{len(common)} identities in common, such as '
                        f'{int(common[0])}: different persons would be one. '
                        f'Give {name} pid_offset={int(known.max()) + 1} or '
                        'more, or set same_persons=True of ConcatDataset if '
                        f'they are the same. See {GUIDE}.'
                    )
            seen.append((name, pids))
        if len(seen) > 1:
            total = 1 + max(int(pids.max()) for _, pids in seen)
            print_log(
                f'ConcatDataset: identities of {len(seen)} datasets, numbered '
                f'below {total}.',
                logger='current',
                level=logging.INFO,
            )


def _name(dataset: Any) -> str:
    return str(dataset.metainfo.get('dataset_name') or type(dataset).__name__)


def _pids(dataset: Any) -> np.ndarray | None:
    """Identities of a set of persons, sorted; None of another dataset."""
    inner = dataset
    while not isinstance(inner, TextPersonDataset):
        inner = getattr(inner, 'dataset', None)
        if inner is None:
            return None
    return inner.pids()
