"""Which gallery items match a query: ids, checks and blocks of a matrix."""

from collections.abc import Iterator, Sequence
from typing import Union

import numpy as np
import torch

#: What the ranking functions take for a matrix or a vector.
Array = Union[torch.Tensor, np.ndarray, Sequence]  # noqa: UP007
#: Query and gallery indices of pairs, two long vectors of one length.
Pairs = tuple[torch.Tensor, torch.Tensor]

ON_MISSING = ('error', 'skip')
#: Similarities looked at in one go; bounds the memory beside the matrix.
BLOCK_ELEMENTS = 1 << 20


def check_missing(
    query_ids: Array,
    gallery_ids: Array,
    ignore_ids: Sequence[int] = (-1,),
    exclude: Pairs | None = None,
    on_missing: str = 'error',
    key: str = 'id',
) -> int:
    """Count the queries that can find nothing.

    Args:
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        exclude (tuple[Tensor, Tensor], optional): See :func:`rank_metrics`.
        on_missing (str): ``'error'`` or ``'skip'``.
        key (str): What the ids are, for the message. Defaults to ``'id'``.

    Returns:
        int: The number of queries without a positive.

    Raises:
        ValueError: If there are any and ``on_missing`` is ``'error'``, or if
            all queries are such.
    """
    if on_missing not in ON_MISSING:
        raise ValueError(
            f'on_missing must be one of {ON_MISSING}, not {on_missing!r}.'
        )
    queries = to_ids(query_ids, 'query_ids')
    gallery = to_ids(gallery_ids, 'gallery_ids')
    lacking = queries[
        _count_positives(queries, gallery, ignore_ids, exclude) == 0
    ]
    missing = len(lacking)
    if missing and (on_missing == 'error' or missing == len(queries)):
        first = ', '.join(map(str, lacking.unique()[:5].tolist()))
        skip = '' if missing == len(queries) else ", or set on_missing='skip'"
        raise ValueError(
            f'{missing} of {len(queries)} queries have no match by {key} in '
            f'the gallery of {len(gallery)} items (first {key}s: {first}). '
            'Check that queries and gallery come from the same split and '
            f'that their {key}s are made the same way{skip}.'
        )
    return missing


def to_ids(ids: Array, name: str, device: str = 'cpu') -> torch.Tensor:
    """Make a long vector of ids.

    Args:
        ids (Tensor | ndarray | Sequence[int]): The ids.
        name (str): What they are called, for the message.
        device (str): Where the result lives. Defaults to ``'cpu'``.

    Returns:
        Tensor: Of shape (N, ), long.

    Raises:
        ValueError: If they are not integers in one dimension, or none.
    """
    ids = torch.as_tensor(ids)
    if ids.dim() != 1 or not len(ids) or ids.is_floating_point():
        raise ValueError(
            f'{name} must be a non-empty vector of integers, got shape '
            f'{tuple(ids.shape)} of {ids.dtype}.'
        )
    return ids.to(device=device, dtype=torch.long)


def _count_positives(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    ignore_ids: Sequence[int],
    exclude: Pairs | None,
) -> torch.Tensor:
    """Number of positives of each query, (Q, ), without a Q x G table."""
    ignored = torch.tensor(list(ignore_ids), dtype=torch.long)
    known, counts = torch.unique(
        gallery[~torch.isin(gallery, ignored)], return_counts=True
    )
    if not len(known):
        return torch.zeros_like(queries)
    place = torch.searchsorted(known, queries).clamp_(max=len(known) - 1)
    found = known[place] == queries
    number = torch.where(found, counts[place], 0)
    if exclude is not None and len(exclude[0]):
        rows, cols = torch.stack([x.cpu() for x in exclude]).unique(dim=1)
        same = (queries[rows] == gallery[cols]) & found[rows]
        number.index_add_(0, rows[same], -torch.ones_like(rows[same]))
    return number


def matched_blocks(
    similarity: Array,
    query_ids: Array,
    gallery_ids: Array,
    ignore_ids: Sequence[int],
    exclude: Pairs | None,
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, Pairs]]:
    """Walk through a similarity matrix in blocks of queries.

    Args:
        similarity (Tensor | ndarray): Scores, of shape (Q, G), floating.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        ignore_ids (Sequence[int]): Ids that match nothing.
        exclude (tuple[Tensor, Tensor], optional): Query and gallery indices
            of pairs that are out of the ranking.

    Yields:
        tuple: Start of the block, scores (B, G), matches (B, G) as bool with
        the excluded ones off, and the block's own excluded pairs.

    Raises:
        ValueError: If shapes do not fit or a score is NaN.
    """
    similarity = torch.as_tensor(similarity)
    device = similarity.device
    queries = to_ids(query_ids, 'query_ids', device)
    gallery = to_ids(gallery_ids, 'gallery_ids', device)
    if similarity.shape != (len(queries), len(gallery)):
        raise ValueError(
            f'similarity has shape {tuple(similarity.shape)}, but there are '
            f'{len(queries)} query ids and {len(gallery)} gallery ids.'
        )
    if not similarity.is_floating_point():
        raise ValueError(
            f'similarity must be floating, got {similarity.dtype}.'
        )
    ignored = torch.tensor(list(ignore_ids), dtype=torch.long, device=device)
    usable = ~torch.isin(gallery, ignored)
    pairs = _sorted_pairs(exclude, device)
    step = max(1, BLOCK_ELEMENTS // len(gallery))
    for start in range(0, len(queries), step):
        scores = similarity[start : start + step]
        if scores.dtype in (torch.float16, torch.bfloat16):
            scores = scores.float()
        _refuse_nan(scores, start)
        match = queries[start : start + step, None] == gallery
        match &= usable
        inside = (pairs[0] >= start) & (pairs[0] < start + step)
        excluded = (pairs[0][inside] - start, pairs[1][inside])
        match[excluded] = False
        yield start, scores, match, excluded


def _sorted_pairs(exclude: Pairs | None, device: torch.device) -> Pairs:
    """Distinct excluded pairs on a device, none as empty vectors."""
    if exclude is None:
        empty = torch.zeros(0, dtype=torch.long, device=device)
        return empty, empty
    rows, cols = torch.stack([x.to(device) for x in exclude]).unique(dim=1)
    return rows, cols


def _refuse_nan(scores: torch.Tensor, start: int) -> None:
    nan = scores.isnan()
    if nan.any():
        row, col = nan.nonzero()[0].tolist()
        raise ValueError(
            f'{int(nan.any(dim=1).sum())} or more queries have a similarity '
            f'that is NaN, first that of query {start + row} with gallery '
            f'item {col}. The features are probably not finite: look at the '
            'model or the checkpoint.'
        )
