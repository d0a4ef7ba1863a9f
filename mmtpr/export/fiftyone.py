"""Samples in the import format of FiftyOne.

A folder with ``metadata.json`` and ``samples.json``, which FiftyOne reads as
``fiftyone.types.FiftyOneDataset``. The metadata name no version of its
database, so any version infers the fields from the values. FiftyOne itself is
not needed to write it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mmtpr.utils import atomic_folder
from mmtpr.utils.warn import warn

#: Names that FiftyOne keeps for itself.
_RESERVED = {
    *('id', 'filepath', 'tags', 'metadata', 'media_type', 'frames'),
    *('created_at', 'last_modified_at', 'embedding', 'caption', 'captions'),
}
_FACTS = ('pid', 'instance_id', 'image_id')
_AT_ONCE = 4096
#: Digits of a number of an embedding, as many as float32 has.
_DIGITS = 7


@dataclass
class ImageRecord:
    """An image of a dataset with what is known of it.

    Attributes:
        path (str): The image.
        tags (list[str]): Its roles, such as ``'gallery'``.
        facts (dict): Further fields: text, numbers, lists.
        captions (list[str]): Its captions.
    """

    path: str
    tags: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)


def dataset_records(dataset: Any) -> list[ImageRecord]:
    """Collect the images of a dataset, each once with all its captions.

    A caption without an image of its own, as those of a test split are, goes
    to the image of the same ``image_id``; a WARNING counts those that find
    none.

    Args:
        dataset (Dataset): A dataset of mmtpr.

    Returns:
        list[ImageRecord]: In the order of the dataset.
    """
    images: dict[str, ImageRecord] = {}
    by_id: dict[Any, ImageRecord] = {}
    waiting = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = info.get('img_path')
        if path is None:
            waiting.append(info)
            continue
        record = images.setdefault(str(path), ImageRecord(str(path)))
        _add_tag(record, info.get('role'))
        record.facts.update({k: info[k] for k in _FACTS if k in info})
        _add_caption(record, info.get('caption'))
        by_id.setdefault(info.get('image_id'), record)
    lost = 0
    for info in waiting:
        found = by_id.get(info.get('image_id', -1))
        if found is None:
            lost += 1
        else:
            _add_caption(found, info.get('caption'))
    if lost:
        warn(
            f'{lost} of {len(waiting)} captions are left out: the dataset '
            'has no image with their image_id.'
        )
    return list(images.values())


def _add_tag(record: ImageRecord, tag: Any) -> None:
    if tag and tag not in record.tags:
        record.tags.append(str(tag))


def _add_caption(record: ImageRecord, caption: Any) -> None:
    if caption and caption not in record.captions:
        record.captions.append(caption)


def record_samples(
    records: Sequence[ImageRecord], feats: Mapping[int, Tensor] | None = None
) -> Iterator[dict[str, Any]]:
    """Make samples of the images of a dataset.

    Args:
        records (Sequence[ImageRecord]): The images.
        feats (Mapping[int, Tensor], optional): Vectors (D, ) by index; an
            image without has no embedding. Defaults to None.

    Yields:
        dict: Samples of FiftyOne.
    """
    for index, record in enumerate(records):
        sample: dict[str, Any] = dict(filepath=_absolute(record.path))
        sample.update(tags=record.tags, **record.facts)
        if record.captions:
            sample.update(caption=record.captions[0], captions=record.captions)
        if feats is not None and index in feats:
            sample['embedding'] = _numbers(feats[index])
        yield sample


def store_samples(store: Any) -> Iterator[dict[str, Any]]:
    """Make samples of a gallery, with its columns and pooled vectors.

    Args:
        store (GalleryStore): The gallery.

    Yields:
        dict: Samples of FiftyOne; the id of an item is ``item_id``.
    """
    names = {name: _field_name(name) for name in store.column_kinds}
    renamed = [f'{a} as {b}' for a, b in names.items() if a != b]
    if renamed:
        warn(f'FiftyOne has columns {", ".join(renamed)}.')
    ids = store.ids()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        columns, feats = store.columns(some), pooled(store.fetch(some))
        for row, item in enumerate(some):
            told = {
                names[name]: columns[name][row]
                for name in names
                if columns[name][row] is not None
            }
            yield dict(
                filepath=_absolute(columns['path'][row]),
                tags=['gallery'],
                item_id=item,
                **told,
                embedding=_numbers(feats[row]),
            )


def pooled(feats: Tensor) -> Tensor:
    """Make one vector of the vectors of each image.

    Args:
        feats (Tensor): Of shape (N, T, D), L2-normalised, or (N, D).

    Returns:
        Tensor: Of shape (N, D), their normalised mean.
    """
    if feats.dim() == 2:
        return feats
    return F.normalize(feats.float().mean(dim=1), dim=-1)


def write_fiftyone(
    folder: str | Path,
    samples: Iterable[Mapping[str, Any]],
    info: Mapping[str, Any],
) -> int:
    """Write samples, whole or not at all.

    Args:
        folder (str | Path): Folder to write. Only an empty one is replaced.
        samples (Iterable[Mapping]): The samples; they need not fit into
            memory.
        info (Mapping): What the dataset is, plain data.

    Returns:
        int: How many samples.

    Raises:
        FileExistsError: If the folder is there and not empty.
    """
    number = 0
    with atomic_folder(folder) as place:
        metadata = dict(media_type='image', info=dict(info))
        text = json.dumps(metadata, indent=2)
        (place / 'metadata.json').write_text(text, encoding='utf-8')
        with open(place / 'samples.json', 'w', encoding='utf-8') as file:
            file.write('{"samples": [')
            for sample in samples:
                line = json.dumps(sample, ensure_ascii=False, allow_nan=False)
                file.write(f'{"," * bool(number)}\n{line}')
                number += 1
            file.write('\n]}\n')
    return number


def _field_name(name: str) -> str:
    """A name that FiftyOne takes for a field."""
    plain = name.replace('$', '_').replace('.', '_')
    if plain in _RESERVED or plain.startswith('_') or plain == 'item_id':
        return f'column_{plain.lstrip("_")}'
    return plain


def _absolute(path: str) -> str:
    """FiftyOne takes a relative path from the folder of the samples."""
    return path if '://' in path else str(Path(path).absolute())


def _numbers(feats: Tensor) -> list[float]:
    return [float(f'{value:.{_DIGITS}g}') for value in feats.tolist()]
