"""Keys of feature caches: data, images, pipeline and encoder."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmtpr.structures.pairs import Pairs
from mmtpr.utils.fingerprint import settings_fingerprint, text_fingerprint

from .encode import PairEncoder

_CHUNK = 1024
_THREADS = 16


def cache_key(
    pairs: Pairs,
    pipeline: Callable,
    encoder: PairEncoder,
    views: int,
    dtype: str,
) -> dict[str, Any]:
    """Key that caches of different features do not share.

    Args:
        pairs (Pairs): Their paths and captions count, and size and time of
            the images' files.
        pipeline (Callable): Transforms, with all they hold.
        encoder (PairEncoder): Weights, modules and their settings, and the
            normalisation count.
        views (int): How often each image is encoded.
        dtype (str): Of the features on disk.

    Returns:
        dict[str, Any]: ``data``, ``images``, ``pipeline`` and ``encoder``
        (32 hexadecimal digits each), ``views`` and ``dtype``.
    """
    return dict(
        data=pairs.fingerprint,
        images=images_fingerprint(pairs.paths),
        encoder=encoder.fingerprint(),
        pipeline=settings_fingerprint(pipeline),
        views=views,
        dtype=dtype,
    )


def images_fingerprint(paths: Sequence[str]) -> str:
    """Fingerprint of files by size and time of change; none is opened.

    Data that were copied without their times count as others. So does not an
    image that cannot be looked at, such as one of a remote storage.

    Args:
        paths (Sequence[str]): Their paths; one that repeats counts once.

    Returns:
        str: 32 hexadecimal digits.
    """
    distinct = sorted(set(paths))
    starts = range(0, len(distinct), _CHUNK)
    chunks = [distinct[start : start + _CHUNK] for start in starts]
    with ThreadPoolExecutor(_THREADS) as pool:  # each waits for the disk
        found = ''.join(pool.map(_states, chunks))
    return hashlib.blake2b(found.encode(), digest_size=16).hexdigest()


def _states(paths: Sequence[str]) -> str:
    return text_fingerprint(map(_state, paths))


def _state(path: str) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 'unknown'
    return f'{status.st_size},{status.st_mtime_ns}'
