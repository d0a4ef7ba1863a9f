"""Short names for data, banks and models: equal content, equal name."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

_SIZE = 16
_CHUNK = 2**14
#: Keys under which OpenMMLab data sets keep a caption, tried in this order.
CAPTION_KEYS = ('caption', 'text', 'gt_caption')
#: Keys under which OpenMMLab data sets keep the path of an image.
IMAGE_KEYS = ('img_path',)


def text_fingerprint(texts: Iterable[str]) -> str:
    """Fingerprint of a sequence of texts, order included.

    Args:
        texts (Iterable[str]): The texts.

    Returns:
        str: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=_SIZE)
    for chunk in _chunks(texts):
        encoded = [text.encode('utf-8', 'surrogatepass') for text in chunk]
        digest.update(b''.join(b'%d:%b' % (len(e), e) for e in encoded))
    return digest.hexdigest()


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
    root = _common_folder(paths)
    names = (path[root:].replace('\\', '/') for path in paths)
    both = text_fingerprint(names) + text_fingerprint(captions)
    return hashlib.blake2b(both.encode(), digest_size=_SIZE).hexdigest()


def read_pairs(
    dataset: Any,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> tuple[list[str], list[str]]:
    """Read the image path and the caption of every entry of a data set.

    No image is opened.

    Args:
        dataset (Any): Data set with ``get_data_info`` and ``__len__``, fully
            initialised.
        image_key (str, optional): Key of the path. Defaults to None:
            ``img_path``.
        caption_key (str, optional): Key of the caption. Defaults to None: the
            first of ``caption``, ``text`` and ``gt_caption`` that the first
            entry has.

    Returns:
        tuple[list[str], list[str]]: Paths and captions.

    Raises:
        KeyError: If an entry has no such key.
        TypeError: If what is there is not a text.
    """
    paths, captions = [], []
    image_keys = (image_key,) if image_key else IMAGE_KEYS
    caption_keys = (caption_key,) if caption_key else CAPTION_KEYS
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if index == 0:
            image_key = _first_key(info, image_keys, 'image_key', dataset)
            caption_key = _first_key(
                info, caption_keys, 'caption_key', dataset
            )
        paths.append(_text(info, image_key, index, dataset))
        captions.append(_text(info, caption_key, index, dataset))
    return paths, captions


def dataset_fingerprint(
    dataset: Any,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> str:
    """Fingerprint of the image-caption pairs of a data set.

    Args:
        dataset (Any): See :func:`read_pairs`.
        image_key (str, optional): See :func:`read_pairs`.
        caption_key (str, optional): See :func:`read_pairs`.

    Returns:
        str: 32 hexadecimal digits.
    """
    return pair_fingerprint(*read_pairs(dataset, image_key, caption_key))


def dataset_name(dataset: Any) -> str:
    """Name a data set for messages, e.g. ``ConcatDataset(MALS, MALS)``.

    Args:
        dataset (Any): A data set.

    Returns:
        str: Its class, with those of the data sets it wraps.
    """
    inner = getattr(dataset, 'datasets', None)
    if inner is None:
        inner = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    name = type(dataset).__name__
    inside = ', '.join(dataset_name(item) for item in inner)
    return f'{name}({inside})' if inside else name


def weights_fingerprint(module: torch.nn.Module) -> str:
    """Fingerprint of all parameters and buffers that a checkpoint holds.

    Args:
        module (nn.Module): The model.

    Returns:
        str: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=_SIZE)
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            digest.update(f'{name}={value!r};'.encode())
            continue
        value = value.detach().cpu().contiguous()
        digest.update(f'{name}:{value.dtype}:{tuple(value.shape)};'.encode())
        if value.numel():
            digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _common_folder(paths: Sequence[str]) -> int:
    """Length of the folder, with its slash, that all paths begin with."""
    if not paths:
        return 0
    low, high = min(paths), max(paths)
    length = min(len(low), len(high))
    same = next((i for i in range(length) if low[i] != high[i]), length)
    return max(low.rfind('/', 0, same), low.rfind('\\', 0, same)) + 1


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _first_key(
    info: dict, keys: Sequence[str], argument: str, dataset: Any
) -> str:
    for key in keys:
        if key in info:
            return key
    raise KeyError(
        f'The entries of {dataset_name(dataset)} have no '
        f'{" or ".join(repr(key) for key in keys)}, they have '
        f'{", ".join(sorted(map(str, info)))}. Relevance filtering needs an '
        f'image and a caption in every entry; name the key with {argument}.'
    )


def _text(info: dict, key: str, index: int, dataset: Any) -> str:
    value = info.get(key)
    if isinstance(value, str):
        return value
    found = 'nothing' if value is None else type(value).__name__
    raise TypeError(
        f'Entry {index} of {dataset_name(dataset)} has {found} under '
        f"'{key}' where relevance filtering needs one text a pair."
    )
