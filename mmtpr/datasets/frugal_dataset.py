"""Loading millions of samples without waste."""

import ctypes
import os
import pickle
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from mmengine.dataset import BaseDataset

from mmtpr.utils.collector import resting_collector

from .packed_images import check_packed, join_packed

T = TypeVar('T')


class FrugalDataset(BaseDataset):
    """A dataset of mmengine that takes half the time and memory to load.

    A subclass has :meth:`load_samples`. Its samples go into memory pickled,
    one after the other, with paths as the annotations have them: the image
    folder is put in front when a sample is read.

    Args:
        **kwargs: Of :class:`mmengine.dataset.BaseDataset`.
    """

    #: Keys under which a sample may have the path of an image.
    path_keys = ('img_path', 'reference_path')
    #: Whether :meth:`load_data_list` gives paths with the image folder, for
    #: subclasses that look at them. Samples that were read are alike.
    lists_full_paths = False
    _full_paths = False  # of what is in memory

    def load_samples(self) -> Iterable[dict]:
        """Read the annotations.

        Returns:
            Iterable[dict]: Samples, paths relative to the image folder.

        Raises:
            NotImplementedError: If a subclass lacks it.
        """
        raise NotImplementedError(
            f'{type(self).__name__} needs a method load_samples.'
        )

    def load_data_list(self) -> list[dict]:
        """Read the annotations as a list.

        Returns:
            list[dict]: What :meth:`load_samples` gives, with full paths where
            ``lists_full_paths`` says so.
        """
        samples = self.load_samples()
        if self.lists_full_paths:
            return [self._with_folder(sample) for sample in samples]
        return list(samples)

    def full_init(self) -> None:
        """Load the annotations."""
        if self._fully_initialized:  # type: ignore[has-type]
            return
        if self.filter_cfg and not self._filters():
            raise ValueError(
                f'filter_cfg={self.filter_cfg} of {type(self).__name__}: '
                'nothing filters by it. Leave it out, or subclass filter_data.'
            )
        check_packed(self.data_prefix.get('img_path', ''))
        with resting_collector():
            if self._needs_list():
                self._full_paths = self.lists_full_paths
                super().full_init()
            else:
                samples = self.load_samples()
                self.data_bytes, self.data_address = _pickled(samples)
                self._fully_initialized = True
        _return_freed()
        _reserve(self.pipeline, len(self))

    def get_data_info(self, idx: int) -> dict:
        """Get one sample.

        Args:
            idx (int): Index of the sample.

        Returns:
            dict: The sample with the full paths of its images.
        """
        info = super().get_data_info(idx)
        return info if self._full_paths else self._with_folder(info)

    def _with_folder(self, info: dict) -> dict:
        for key in self.path_keys:
            if key not in info:
                continue
            if isinstance(info[key], list):  # a query of several images
                info[key] = [self.image_path(path) for path in info[key]]
            else:
                info[key] = self.image_path(info[key])
        return info

    def image_path(self, path: str) -> str:
        """Path of an image.

        Args:
            path (str): As the annotations have it.

        Returns:
            str: With the image folder in front, but for a path with a scheme.
        """
        if '://' in path:
            return path
        return os.path.join(self.data_prefix['img_path'], path)

    def _filters(self) -> bool:
        return type(self).filter_data is not BaseDataset.filter_data

    def _join_prefix(self) -> None:
        """Put ``data_root`` before the folders, packed ones included."""
        given = dict(self.data_prefix)
        super()._join_prefix()
        for key, folder in given.items():
            packed = join_packed(self.data_root or '', folder)
            self.data_prefix[key] = packed or self.data_prefix[key]

    def _needs_list(self) -> bool:
        """Whether something has to see all samples as a list of dicts."""
        kind = type(self)
        return (
            not self.serialize_data
            or self._indices is not None
            or kind.load_data_list is not FrugalDataset.load_data_list
            or self._filters()
            or kind._serialize_data is not FrugalDataset._serialize_data
        )

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Pickle the samples one by one, freeing them on the way.

        mmengine's own keeps an array for each sample until the end, which
        for 1.5 M pairs doubles the memory of loading.
        """
        return _pickled(drain(self.data_list))


def image_prefix(given: dict | None, usual: str) -> dict[str, str]:
    """Complete the prefix of a dataset whose images lie in one folder.

    Args:
        given (dict | None): From the config.
        usual (str): The folder if it names none.

    Returns:
        dict[str, str]: With the key ``img_path``.

    Raises:
        ValueError: If it has another key, which nothing would read.
    """
    others = [key for key in given or {} if key != 'img_path']
    if others:
        raise ValueError(
            f'data_prefix has {", ".join(map(repr, others))}; the folder of '
            "the images is data_prefix=dict(img_path='...')."
        )
    return {'img_path': usual, **(given or {})}


def drain(items: list[T]) -> Iterator[T]:
    """Take the items out of a list from first to last.

    Each can be freed as soon as it was used; the list is empty in the end.

    Args:
        items (list): The list.

    Yields:
        Any: The items.
    """
    items.reverse()
    while items:
        yield items.pop()


def _reserve(pipeline: Any, num_samples: int) -> None:
    """Let transforms that keep something of each sample make room for it.

    Now, because workers share only what was there before they began.
    """
    for transform in getattr(pipeline, 'transforms', ()):
        if hasattr(transform, 'reserve'):
            transform.reserve(num_samples)
        _reserve(transform, num_samples)


def _return_freed() -> None:
    """Return what was freed to the system, where the C library can.

    What stays allocated lies among what was freed, which glibc keeps else: of
    1.5 M pairs up to as much as the pairs themselves.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        return
    trim(0)


def _pickled(samples: Iterable[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Pickled samples in a row, (bytes, ), and where each ends, (N, )."""
    buffer, ends = bytearray(), array('q')
    for sample in samples:
        buffer += pickle.dumps(sample, protocol=4)
        ends.append(len(buffer))
    return np.frombuffer(buffer, np.uint8), np.array(ends)
