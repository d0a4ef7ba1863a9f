"""The image-caption pairs of a dataset, whatever its keys."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, ConcatDataset

from mmtpr.utils.fingerprint import text_fingerprint
from mmtpr.utils.progress import progress

#: Packages whose datasets give what they hold.
_KNOWN = ('mmengine.dataset.', 'mmtpr.datasets.')
#: Keys under which OpenMMLab datasets keep a caption, tried in this order.
CAPTION_KEYS = ('caption', 'text', 'gt_caption')
#: Keys under which OpenMMLab datasets keep the path of an image.
IMAGE_KEYS = ('img_path',)
# Entries that are looked at one by one where the rest is taken as it lies.
_LOOKED_AT = 64


@dataclass
class Pairs:
    """The pairs of a dataset, in its order.

    Attributes:
        dataset (Any): Dataset with ``get_data_info``.
        paths (list[str]): Path of each pair's image.
        captions (list[str]): Caption of each pair.
        caption_key (str): Key of the caption in an entry.
    """

    dataset: Any
    paths: list[str]
    captions: list[str]
    caption_key: str = 'caption'
    image_key: str = 'img_path'

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the pairs, order included."""
        return pair_fingerprint(self.paths, self.captions)

    @property
    def serialized(self) -> str | None:
        """See :func:`serialized_fingerprint`."""
        return serialized_fingerprint(
            self.dataset, self.image_key, self.caption_key
        )

    def image_entry(self, index: int) -> dict:
        """Entry of a pair as an image without caption.

        Args:
            index (int): Number of the pair.

        Returns:
            dict: The dataset's entry with ``img_path`` and no caption.
        """
        entry = dict(self.dataset.get_data_info(index))
        entry.pop(self.caption_key, None)
        entry.update(role='gallery', img_path=self.paths[index])
        return entry


def read_pairs(
    dataset: Any,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> Pairs:
    """Read the image path and the caption of every entry of a dataset.

    No image is opened.

    Args:
        dataset (Any): Dataset with ``get_data_info`` and ``__len__``, fully
            initialised.
        image_key (str, optional): Key of the path. Defaults to None:
            ``img_path``.
        caption_key (str, optional): Key of the caption. Defaults to None: the
            first of ``caption``, ``text`` and ``gt_caption`` that the first
            entry has.

    Returns:
        Pairs: Paths and captions.

    Raises:
        ValueError: If an entry has no such key.
        TypeError: If what is there is not a text.
    """
    return _read(dataset, range(len(dataset)), image_key, caption_key)


def _read(
    dataset: Any,
    indices: Sequence[int],
    image_key: str | None,
    caption_key: str | None,
) -> Pairs:
    """Read some entries, the first of which tells the keys."""
    paths: list[str] = []
    captions: list[str] = []
    image_keys = (image_key,) if image_key else IMAGE_KEYS
    caption_keys = (caption_key,) if caption_key else CAPTION_KEYS
    with progress(len(indices), 'Reading pairs') as done:
        for index in indices:
            info = dataset.get_data_info(index)
            if not paths:
                image_key = _first_key(info, image_keys, 'image_key', dataset)
                caption_key = _first_key(
                    info, caption_keys, 'caption_key', dataset
                )
            paths.append(_text(info, image_key, index, dataset))
            captions.append(_text(info, caption_key, index, dataset))
            done(1)
    return Pairs(
        dataset,
        paths,
        captions,
        caption_key or CAPTION_KEYS[0],
        image_key or IMAGE_KEYS[0],
    )


def dataset_fingerprint(
    dataset: Any,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> str:
    """Fingerprint of the image-caption pairs of a dataset.

    Args:
        dataset (Any): See :func:`read_pairs`.
        image_key (str, optional): See :func:`read_pairs`.
        caption_key (str, optional): See :func:`read_pairs`.

    Returns:
        str: 32 hexadecimal digits.
    """
    return read_pairs(dataset, image_key, caption_key).fingerprint


def serialized_fingerprint(
    dataset: Any,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> str | None:
    """Fingerprint of what a dataset holds in memory, without reading it.

    Millions of pairs take half a second. Equal ones mean equal pairs; pairs
    may be equal though these differ, if the data lie elsewhere or are read by
    another version: :func:`dataset_fingerprint` tells for sure.

    Args:
        dataset (Any): See :func:`read_pairs`.
        image_key (str, optional): See :func:`read_pairs`.
        caption_key (str, optional): See :func:`read_pairs`.

    Returns:
        str | None: 32 hexadecimal digits; None of a dataset that is not
        serialized, or that wraps others in an unknown way.
    """
    blocks = _serialized_blocks(dataset)
    if not blocks or not len(dataset):
        return None
    digest = hashlib.sha256()  # processors have instructions for it
    for block in blocks:
        digest.update(b'%d:' % len(block))
        digest.update(block)
    # What a class makes of an entry is seen in some of them.
    places = np.linspace(0, len(dataset) - 1, min(_LOOKED_AT, len(dataset)))
    some = _read(dataset, places.astype(int).tolist(), image_key, caption_key)
    facts = (some.fingerprint, some.image_key, some.caption_key)
    digest.update('\n'.join(facts).encode())
    return digest.hexdigest()[:32]


def _serialized_blocks(dataset: Any) -> list:
    """Bytes that decide the entries of a dataset, none if unknown."""
    kind = type(dataset)
    if (
        kind.get_data_info is ConcatDataset.get_data_info
        and kind._get_ori_dataset_idx is ConcatDataset._get_ori_dataset_idx
    ):
        inner = [_serialized_blocks(part) for part in dataset.datasets]
        return [b for part in inner for b in part] if all(inner) else []
    if not isinstance(dataset, BaseDataset) or not dataset.serialize_data:
        return []
    # A class of one's own may make anything of what is in memory.
    methods = (kind.get_data_info, kind.__len__, _image_path(kind))
    if not all(m.__module__.startswith(_KNOWN) for m in methods):
        return []
    name = f'{kind.__module__}.{kind.__qualname__}'.encode()
    arrays = (dataset.data_bytes, dataset.data_address)
    return [name, *(np.ascontiguousarray(a).view(np.uint8) for a in arrays)]


def _image_path(kind: Any) -> Any:
    """What puts the folder in front of a path, for datasets that do so."""
    return getattr(kind, 'image_path', kind.get_data_info)


def pair_fingerprint(paths: Sequence[str], captions: Iterable[str]) -> str:
    """Fingerprint of image-caption pairs, order included.

    Paths count from the deepest folder common to all of them, so that the
    fingerprint does not depend on where the data lie.

    Args:
        paths (Sequence[str]): Paths of the images.
        captions (Iterable[str]): One caption an image.

    Returns:
        str: 32 hexadecimal digits.
    """
    return _fingerprint(lambda: paths, captions)


def triplet_fingerprint(
    references: Iterable[str], targets: Iterable[str], captions: Iterable[str]
) -> str:
    """Fingerprint of triplets, order included; see :func:`pair_fingerprint`.

    Args:
        references (Iterable[str]): Paths of the reference images; what
            begins anew each time it is iterated over, as a list does.
        targets (Iterable[str]): Paths of the target images, likewise.
        captions (Iterable[str]): The sentence of each.

    Returns:
        str: 32 hexadecimal digits.
    """
    return _fingerprint(lambda: chain(references, targets), captions)


def _fingerprint(
    paths: Callable[[], Iterable[str]], captions: Iterable[str]
) -> str:
    root = _common_folder(paths())
    names = (path[root:].replace('\\', '/') for path in paths())
    both = text_fingerprint(names) + text_fingerprint(captions)
    return hashlib.blake2b(both.encode(), digest_size=16).hexdigest()


def relative_names(paths: Sequence[str]) -> list[str]:
    """Give paths from the deepest folder common to all of them.

    Args:
        paths (Sequence[str]): Paths of the images.

    Returns:
        list[str]: The same wherever the data lie, with ``/`` between folders.
    """
    root = _common_folder(paths)
    return [path[root:].replace('\\', '/') for path in paths]


def dataset_name(dataset: Any) -> str:
    """Name a dataset for messages, e.g. ``ConcatDataset(MALS, MALS)``.

    Args:
        dataset (Any): A dataset.

    Returns:
        str: Its class, with those of the datasets it wraps.
    """
    inner = getattr(dataset, 'datasets', None)
    if inner is None:
        inner = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    name = type(dataset).__name__
    inside = ', '.join(dataset_name(item) for item in inner)
    return f'{name}({inside})' if inside else name


def _first_key(
    info: dict, keys: Sequence[str], argument: str, dataset: Any
) -> str:
    for key in keys:
        if key in info:
            return key
    raise ValueError(
        f'The entries of {dataset_name(dataset)} have no '
        f'{" or ".join(repr(key) for key in keys)}, they have '
        f'{", ".join(sorted(map(str, info)))}. Relevance filtering needs an '
        f'image and a caption in every entry; name the key with {argument}.'
    )


def _text(info: dict, key: str | None, index: int, dataset: Any) -> str:
    value = info.get(key)
    if isinstance(value, str):
        return value
    found = 'nothing' if value is None else type(value).__name__
    raise TypeError(
        f'Entry {index} of {dataset_name(dataset)} has {found} under '
        f"'{key}' where relevance filtering needs one text a pair."
    )


def _common_folder(paths: Iterable[str]) -> int:
    """Length of the folder, with its slash, that all paths begin with."""
    paths = iter(paths)
    low = high = next(paths, '')
    for path in paths:
        if path < low:
            low = path
        elif path > high:
            high = path
    length = min(len(low), len(high))
    same = next((i for i in range(length) if low[i] != high[i]), length)
    return max(low.rfind('/', 0, same), low.rfind('\\', 0, same)) + 1


def innermost(dataset: Any, index: int) -> Any:
    """Find the dataset that an entry comes from, below mmengine's wrappers.

    Args:
        dataset (Any): A dataset, joined, repeated or balanced or not.
        index (int): The entry.

    Returns:
        Any: The dataset itself.
    """
    while hasattr(dataset, '_get_ori_dataset_idx'):
        place = dataset._get_ori_dataset_idx(index)
        if hasattr(dataset, 'datasets'):
            number, index = place
            dataset = dataset.datasets[number]
        else:
            index, dataset = place, dataset.dataset
    return dataset
