"""What dataset wrappers that keep some entries share."""

import copy
import logging
from abc import ABC, abstractmethod
from typing import Any, NoReturn

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.logging import print_log

from mmtpr.registry import DATASETS


class FilteredDataset(ABC):
    """A wrapper that shows those entries of a dataset that a filter keeps.

    Nothing on disk is changed. Like mmengine's wrappers it offers no
    ``get_subset``, which would be ambiguous; use ``indices`` of the wrapped
    dataset, and score that subset.

    Args:
        dataset (dict | BaseDataset): The dataset to filter.
        lazy_init (bool): Whether to read annotations and scores only when
            they are needed. Defaults to False.
    """

    def __init__(self, dataset: Any, lazy_init: bool = False) -> None:
        self.dataset = _build(dataset, type(self).__name__)
        self._metainfo = self.dataset.metainfo
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @abstractmethod
    def _keep(self) -> np.ndarray:
        """Choose entries of the wrapped dataset, which is loaded.

        Returns:
            ndarray: True for those that are kept, (N, ).

        Raises:
            FileNotFoundError: If there is no file of scores.
            ValueError: If the scores belong to other data, or nothing is
                kept.
        """

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset, a copy."""
        return copy.deepcopy(self._metainfo)

    def full_init(self) -> None:
        """Load the wrapped dataset and the scores, and apply the rule.

        Raises:
            FileNotFoundError: If there is no score file.
            ValueError: If the scores belong to other data, or the rule keeps
                nothing.
        """
        if self._fully_initialized:
            return
        self._load_scores()
        self.dataset.full_init()
        # Some wrappers know their metainfo only now.
        self._metainfo = self.dataset.metainfo
        self._kept = np.flatnonzero(self._keep())
        self._fully_initialized = True

    @abstractmethod
    def _load_scores(self) -> None:
        """Read the scores, before the data, which takes longer."""

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Get an entry.

        Args:
            idx (int): Index among the entries kept.

        Returns:
            dict: The entry of the wrapped dataset.
        """
        return self.dataset.get_data_info(int(self._kept[idx]))

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Get the categories of an entry, where the wrapped dataset can.

        Args:
            idx (int): Index among the entries kept.

        Returns:
            list[int]: Categories.
        """
        return self.dataset.get_cat_ids(int(self._kept[idx]))

    @force_full_init
    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, idx: int) -> Any:
        if not self._fully_initialized:
            print_log(
                'Please call `full_init` method manually to accelerate the '
                'speed.',
                logger='current',
                level=logging.WARNING,
            )
            self.full_init()
        return self.dataset[int(self._kept[idx])]

    def get_subset_(self, indices: list[int] | int) -> NoReturn:
        """Refused: ambiguous for a wrapper.

        Args:
            indices (list[int] | int): Not used.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            f'{type(self).__name__} does not support get_subset_ and '
            'get_subset: it would be unclear which data the scores belong '
            'to. Use `indices` of the wrapped dataset and score that subset.'
        )

    def get_subset(self, indices: list[int] | int) -> NoReturn:
        """Refused: ambiguous for a wrapper.

        Args:
            indices (list[int] | int): Not used.

        Raises:
            NotImplementedError: Always.
        """
        self.get_subset_(indices)


def _build(dataset: Any, wrapper: str) -> Any:
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    needed = ('full_init', 'get_data_info', 'metainfo', '__len__')
    missing = [name for name in needed if not hasattr(dataset, name)]
    if missing:
        raise TypeError(
            f'{wrapper} wraps the config or an instance of a '
            f'dataset in the manner of mmengine, got {type(dataset)} '
            f'without {", ".join(missing)}.'
        )
    return dataset
