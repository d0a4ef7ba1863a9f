"""The scores of all queries with the whole gallery as a file of numpy."""

import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from mmtpr.structures.image_paths import image_paths
from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError

from ..ranking.matches import Pairs

#: Raised when the layout changes in a way that readers must know.
VERSION = 1
#: How scores may be kept; half of the bytes can make scores equal.
DTYPES = ('float32', 'float16')
#: Keys of queries or of gallery items that are written at a time.
_SOME = 4096


@dataclass
class ScoreMatrix:
    """Scores of Q queries with G gallery items, and what these are.

    Attributes:
        scores (ndarray): Of shape (Q, G); higher is more alike, -inf where an
            item is kept from a query.
        query_ids (ndarray): Who a query is by ``match_key``, (Q, ), int64.
        gallery_ids (ndarray): Likewise of items, (G, ).
        query_captions (ndarray): Sentences, (Q, ), '' where there is none.
        query_images (ndarray): Paths of reference images, (Q, ), those of one
            query on a line each, '' where there is none.
        gallery_images (ndarray): Paths, (G, ).
        ignore_ids (ndarray): Ids that match nothing, of distractors.
        match_key (str): What the ids are, ``'pid'`` or ``'instance_id'``.
    """

    scores: np.ndarray
    query_ids: np.ndarray
    gallery_ids: np.ndarray
    query_captions: np.ndarray
    query_images: np.ndarray
    gallery_images: np.ndarray
    ignore_ids: np.ndarray
    match_key: str


_FIELDS = tuple(field.name for field in fields(ScoreMatrix))


def write_score_matrix(
    path: str | os.PathLike,
    blocks: Iterable[tuple[int, Tensor]],
    queries: Sequence[dict],
    gallery: Sequence[dict],
    match_key: str,
    ignore_ids: Sequence[int] = (),
    exclude: Pairs | None = None,
    dtype: str = 'float32',
) -> None:
    """Write the scores block after block; says the size first.

    Beside a block nothing of the order of the matrix is in memory. The file
    is an ``.npz`` without compression, which ``numpy.load`` reads:
    ``scores`` and the other fields of :class:`ScoreMatrix`.

    Args:
        path (str | PathLike): The file; it appears whole or not at all.
        blocks (Iterable[tuple[int, Tensor]]): Index of the first query and
            scores (B, G), in order, as of :func:`similarity_blocks`.
        queries (Sequence[dict]): With ``id``, ``caption`` and ``img_path``.
        gallery (Sequence[dict]): With ``id`` and ``img_path``.
        match_key (str): What the ids are.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to ().
        exclude (tuple[Tensor, Tensor], optional): Pairs of query and item
            that do not meet. Defaults to None.
        dtype (str): ``'float32'`` or ``'float16'``. Defaults to
            ``'float32'``.

    Raises:
        LaunchError: If the disk has no room for it.
        ValueError: If the blocks do not cover all queries.
    """
    texts = dict(
        query_captions=[q.get('caption') or '' for q in queries],
        query_images=['\n'.join(image_paths(q['img_path'])) for q in queries],
        gallery_images=[
            '\n'.join(image_paths(g['img_path'])) for g in gallery
        ],
    )
    kinds = {name: _text_type(values) for name, values in texts.items()}
    shape = len(queries), len(gallery)
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    size += 8 * (shape[0] + shape[1])
    size += sum(kinds[name].itemsize * len(texts[name]) for name in texts)
    _say_size(Path(path), shape, size)
    small = dict(
        version=np.array(VERSION),
        match_key=np.array(match_key),
        ignore_ids=np.array(list(ignore_ids), np.int64),
        query_ids=np.array([q['id'] for q in queries], np.int64),
        gallery_ids=np.array([g['id'] for g in gallery], np.int64),
    )
    with atomic_write(path) as file, zipfile.ZipFile(file, 'w') as packed:
        for name, value in small.items():
            _write(packed, name, value.dtype, value.shape, [value])
        for name, values in texts.items():
            some = (
                np.array(values[start : start + _SOME], kinds[name])
                for start in range(0, len(values), _SOME)
            )
            _write(packed, name, kinds[name], (len(values),), some)
        rows = _rows(blocks, shape, exclude, dtype)
        _write(packed, 'scores', np.dtype(dtype), shape, rows)
    print_log(f'Scores are in "{path}".', logger='current')


def _text_type(values: Sequence[str]) -> np.dtype:
    return np.dtype(f'<U{max(1, *map(len, values), 1)}')


def _say_size(path: Path, shape: tuple[int, int], size: int) -> None:
    folder = path.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    print_log(
        f'Writing the scores of {shape[0]:,} queries x {shape[1]:,} items to '
        f'"{path}": {size / 1e6:,.1f} MB.',
        logger='current',
    )
    free = shutil.disk_usage(folder).free
    if size > free:
        raise LaunchError(
            f'The scores need {size / 1e6:,.1f} MB, but "{folder}" has '
            f'{free / 1e6:,.1f} MB left. Make room, name another place, or '
            "halve them with scores_dtype='float16'."
        )


def _write(
    packed: zipfile.ZipFile,
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    parts: Iterable[np.ndarray],
) -> None:
    """Write an array of numpy part after part."""
    header: dict[str, Any] = dict(
        descr=np.lib.format.dtype_to_descr(dtype),
        fortran_order=False,
        shape=shape,
    )
    with packed.open(f'{name}.npy', 'w', force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part).tobytes())


def _rows(
    blocks: Iterable[tuple[int, Tensor]],
    shape: tuple[int, int],
    exclude: Pairs | None,
    dtype: str,
) -> Iterator[np.ndarray]:
    done = 0
    for start, scores in blocks:
        if start != done or scores.shape[1] != shape[1]:
            raise ValueError(
                f'Scores of queries from {done} on and {shape[1]} items were '
                f'due, got {tuple(scores.shape)} from {start} on.'
            )
        if exclude is not None:
            rows, cols = exclude
            own = (rows >= start) & (rows < start + len(scores))
            scores = scores.clone()
            scores[rows[own] - start, cols[own]] = float('-inf')
        done += len(scores)
        yield scores.cpu().to(getattr(torch, dtype)).numpy()
    if done != shape[0]:
        raise ValueError(f'There are scores of {done} of {shape[0]} queries.')


def read_score_matrix(path: str | os.PathLike) -> ScoreMatrix:
    """Read a file of :func:`write_score_matrix`.

    Args:
        path (str | PathLike): The file.

    Returns:
        ScoreMatrix: Scores and what queries and items are.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or no such file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'There is no file of scores at "{path}".')
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as e:
        raise ValueError(
            f'"{path}" is no file of scores, or is damaged: {e}'
        ) from e
    version = found.pop('version', None)
    same = version is not None and np.array_equal(version, VERSION)
    if not same or {*found} != {*_FIELDS}:
        raise ValueError(
            f'"{path}" is not a file of scores of version {VERSION}; write '
            'one with PersonRetrievalMetric(save_scores=...).'
        )
    found['match_key'] = str(found['match_key'])
    matrix = ScoreMatrix(**found)
    shape = len(matrix.query_ids), len(matrix.gallery_ids)
    if matrix.scores.shape != shape:
        raise ValueError(
            f'"{path}" has scores of shape {matrix.scores.shape} for '
            f'{shape[0]} queries and {shape[1]} items; the file is damaged.'
        )
    return matrix
