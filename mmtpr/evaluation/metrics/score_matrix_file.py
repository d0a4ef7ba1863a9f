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
from mmtpr.structures.negatives import negative_of
from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError

from ..ranking.matches import Pairs

#: Raised when the layout changes in a way that readers must know. Version 1
#: says nothing of what queries do not want.
VERSION = 2
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
        query_negatives (ndarray): What they do not want, (Q, ), '' where
            nothing is said.
        negative_weights (ndarray): Its weights, (Q, ), float64, 0 where
            nothing is said.
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
    query_negatives: np.ndarray
    negative_weights: np.ndarray
    query_images: np.ndarray
    gallery_images: np.ndarray
    ignore_ids: np.ndarray
    match_key: str


_FIELDS = tuple(field.name for field in fields(ScoreMatrix))
#: Kinds of numbers of a field, and how many dimensions it has.
_KINDS = dict(
    scores=('f', 2),
    query_ids=('iu', 1),
    gallery_ids=('iu', 1),
    query_captions=('U', 1),
    query_negatives=('U', 1),
    negative_weights=('f', 1),
    query_images=('U', 1),
    gallery_images=('U', 1),
    ignore_ids=('iu', 1),
    match_key=('U', 0),
)


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
        queries (Sequence[dict]): With ``id``, ``caption`` and ``img_path``,
            and maybe ``negative_text`` and ``negative_weight``.
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
    negatives = [negative_of(query) for query in queries]
    weights = [n.get('negative_weight', 0.0) for n in negatives]
    texts = dict(
        query_captions=[q.get('caption') or '' for q in queries],
        query_negatives=[n.get('negative_text', '') for n in negatives],
        query_images=['\n'.join(image_paths(q['img_path'])) for q in queries],
        gallery_images=[
            '\n'.join(image_paths(g['img_path'])) for g in gallery
        ],
    )
    kinds = {name: _text_type(values) for name, values in texts.items()}
    shape = len(queries), len(gallery)
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    size += 8 * (2 * shape[0] + shape[1])
    size += sum(kinds[name].itemsize * len(texts[name]) for name in texts)
    _say_size(Path(path), shape, size)
    small = dict(
        version=np.array(VERSION),
        match_key=np.array(match_key),
        ignore_ids=np.array(list(ignore_ids), np.int64),
        query_ids=np.array([q['id'] for q in queries], np.int64),
        gallery_ids=np.array([g['id'] for g in gallery], np.int64),
        negative_weights=np.array(weights, np.float64),
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
    found = _load(path)
    version = found.pop('version', None)
    known = version is not None and version.shape == ()
    if known and version == 1 and 'query_ids' in found:
        of_queries = found['query_ids'].shape
        found['query_negatives'] = np.full(of_queries, '', 'U1')
        found['negative_weights'] = np.zeros(of_queries)
    elif not known or version != VERSION:
        found = {}
    if {*found} != {*_FIELDS}:
        raise ValueError(
            f'"{path}" is not a file of scores of version {VERSION}; write '
            'one with PersonRetrievalMetric(save_scores=...).'
        )
    _check_fields(path, found)
    found['match_key'] = str(found['match_key'])
    return ScoreMatrix(**found)


def _load(path: str | os.PathLike) -> dict[str, Any]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError('it holds one array.')
        with file:
            found = {name: file[name] for name in file.files}
        others = [n for n, x in found.items() if not isinstance(x, np.ndarray)]
        if others:
            raise ValueError(f'{others[0]} is no array.')
        return found
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as e:
        raise ValueError(
            f'"{path}" is no file of scores, or is damaged: {e}'
        ) from e


def _check_fields(
    path: str | os.PathLike, found: dict[str, np.ndarray]
) -> None:
    """Stop at arrays of another kind or length than queries and items have."""
    for name, (kinds, ndim) in _KINDS.items():
        array = found[name]
        if array.dtype.kind not in kinds or array.ndim != ndim:
            raise ValueError(
                f'"{path}" has {array.dtype} of shape {array.shape} as '
                f'{name}; the file is damaged.'
            )
    shape = len(found['query_ids']), len(found['gallery_ids'])
    wanted = dict(scores=shape, gallery_images=shape[1:])
    for name in _FIELDS:
        if name.startswith(('query_', 'negative_')):
            wanted[name] = shape[:1]
    for name, size in wanted.items():
        if found[name].shape != size:
            raise ValueError(
                f'"{path}" has {name} of shape {found[name].shape} for '
                f'{shape[0]} queries and {shape[1]} items; the file is '
                'damaged.'
            )
