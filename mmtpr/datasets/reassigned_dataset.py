"""Dataset wrapper whose captions go with the images they fit best."""

import os
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.logging import print_log

from mmtpr.filtering.reassigning import (
    REASSIGNMENT_FILE,
    Reassignment,
    load_reassignment,
)
from mmtpr.registry import DATASETS
from mmtpr.structures.pairs import (
    CAPTION_KEYS,
    IMAGE_KEYS,
    dataset_fingerprint,
    dataset_name,
    innermost,
)
from mmtpr.utils.leftovers import refuse_leftovers

from .filtered_dataset import FilteredDataset


@DATASETS.register_module()
@refuse_leftovers
class ReassignedDataset(FilteredDataset):
    """Show captions with the images they were moved to.

    A caption that moved stands in the entry of its new image, with the
    identity and all else of that image. Captions that were dropped are not
    shown. Nothing on disk is changed.

    Args:
        dataset (dict | BaseDataset): The dataset.
        reassignment (str | Reassignment): File, written by
            ``tools/filtering/reassign_captions.py``, or its content.
        image_key (str, optional): See :class:`RelevanceFilteredDataset`.
        caption_key (str, optional): Likewise.
        lazy_init (bool): Likewise. Defaults to False.
    """

    def __init__(
        self,
        dataset: Any,
        reassignment: str | os.PathLike | Reassignment,
        image_key: str | None = None,
        caption_key: str | None = None,
        lazy_init: bool = False,
    ) -> None:
        if not isinstance(reassignment, str | os.PathLike | Reassignment):
            raise TypeError(
                'ReassignedDataset needs the path of a file that '
                'tools/filtering/reassign_captions.py wrote, got '
                f'reassignment={reassignment!r}.'
            )
        self.reassignment = reassignment
        self.image_key = image_key
        self.caption_key = caption_key
        super().__init__(dataset, lazy_init)

    def _load_scores(self) -> None:
        """See :class:`FilteredDataset`."""
        made = self.reassignment
        if not isinstance(made, Reassignment):
            made = load_reassignment(made)
        self._made = made

    def _keep(self) -> np.ndarray:
        """See :class:`FilteredDataset`."""
        made, length = self._made, len(self.dataset)
        theirs = made.meta['data']
        data = (self.dataset, self.image_key, self.caption_key)
        ours = dataset_fingerprint(*data) if length == len(made) else ''
        if ours != theirs['fingerprint']:
            raise REASSIGNMENT_FILE.other_data(
                self._source, theirs, len(made), self.dataset, ours
            )
        counts = made.counts
        keep = made.image >= 0
        if not keep.any():
            raise ValueError(
                f'The reassignment {self._source} keeps none of the {length} '
                'captions.'
            )
        print_log(
            f'Reassigned captions: of {length} pairs {counts["kept"]} stay, '
            f'{counts["moved"]} captions go with another image, '
            f'{counts["dropped"]} are dropped.',
            logger='current',
        )
        return keep

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Get an entry.

        Args:
            idx (int): Index among the captions shown.

        Returns:
            dict: The entry of the caption's image, with the caption.
        """
        pair, image = self._places(idx)
        info = self.dataset.get_data_info(image)
        if image != pair:
            own = self.dataset.get_data_info(pair)
            keys = (self.caption_key,) if self.caption_key else CAPTION_KEYS
            key = next(key for key in keys if key in own)
            info = {**info, key: own[key]}
            if 'sample_idx' in own:  # the caption's, as of one that stays
                info['sample_idx'] = own['sample_idx']
        return info

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Get the categories of the image, where the wrapped dataset can.

        Args:
            idx (int): Index among the captions shown.

        Returns:
            list[int]: Categories.
        """
        return self.dataset.get_cat_ids(self._places(idx)[1])

    def __getitem__(self, idx: int) -> Any:
        self.full_init()
        pair, image = self._places(idx)
        if image == pair:
            return self.dataset[pair]
        info = self.get_data_info(idx)
        path = info.get(self.image_key or IMAGE_KEYS[0])
        packed = _pipeline_of(self.dataset, image)(info)
        if packed is None:
            raise ValueError(
                f'The pipeline gives nothing for "{path}", with which the '
                f'caption of pair {pair} goes. Take unreadable images out of '
                'the dataset.'
            )
        return packed

    def _places(self, idx: int) -> tuple[int, int]:
        """Indices of the caption's pair and of the pair of its image."""
        pair = int(self._kept[idx])
        return pair, int(self._made.image[pair])

    @property
    def _source(self) -> str:
        if isinstance(self.reassignment, Reassignment):
            return 'given'
        return f'"{os.fspath(self.reassignment)}"'


def _pipeline_of(dataset: Any, index: int) -> Any:
    """The transforms that an entry of a dataset goes through."""
    dataset = innermost(dataset, index)
    if not hasattr(dataset, 'pipeline'):
        raise TypeError(
            f'{dataset_name(dataset)} has no pipeline, so that a caption '
            'cannot stand with another image. Put ReassignedDataset around '
            'the dataset itself, inside of other wrappers.'
        )
    return dataset.pipeline
