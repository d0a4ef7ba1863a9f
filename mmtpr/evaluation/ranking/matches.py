"""Matches of queries and gallery items: ids, checks, blocks of a matrix."""

from collections.abc import Sequence
from typing import Union

import numpy as np
import torch

#: What the ranking functions take for a matrix or a vector.
Array = Union[torch.Tensor, np.ndarray, Sequence]  # noqa: UP007
#: Query and gallery indices of pairs, two long vectors of one length.
Pairs = tuple[torch.Tensor, torch.Tensor]

ON_MISSING = ('error', 'skip')
#: Similarities looked at in one go; bounds the memory beside the matrix.
BLOCK_ELEMENTS = 1 << 19


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
    count = Matches(queries, gallery, ignore_ids, exclude).count()
    lacking = queries[count == 0]
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


def to_ids(
    ids: Array, name: str, device: str | torch.device = 'cpu'
) -> torch.Tensor:
    """Make a long vector of ids.

    Args:
        ids (Tensor | ndarray | Sequence[int]): The ids.
        name (str): What they are called, for the message.
        device (str | device): Where the result lives. Defaults to ``'cpu'``.

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


class Matches:
    """Who is right for whom, found by joining ids, without a Q x G table.

    Args:
        queries (Tensor): Ids, of shape (Q, ), long.
        gallery (Tensor): Ids, of shape (G, ), long.
        ignore_ids (Sequence[int]): Ids that match nothing.
        exclude (tuple[Tensor, Tensor], optional): Query and gallery indices
            of pairs that are out of the ranking.

    Raises:
        ValueError: If an index of ``exclude`` names no query or gallery item.
    """

    def __init__(
        self,
        queries: torch.Tensor,
        gallery: torch.Tensor,
        ignore_ids: Sequence[int],
        exclude: Pairs | None = None,
    ) -> None:
        device = gallery.device
        ignored = torch.tensor(list(ignore_ids), dtype=torch.long).to(device)
        # Sorted by id, all items that match a query lie in one range, which
        # two binary searches find: (Q, ) numbers instead of a (Q, G) table.
        usable = (~torch.isin(gallery, ignored)).nonzero()[:, 0]  # (U, )
        ids, order = gallery[usable].sort(stable=True)
        self._cols = usable[order]  # (U, )
        self._low = torch.searchsorted(ids, queries)  # (Q, )
        high = torch.searchsorted(ids, queries, right=True)
        self._size = high - self._low  # (Q, )
        self._width = len(gallery)
        self._gone = _distinct(exclude, device, len(queries), len(gallery))

    def count(self) -> torch.Tensor:
        """Count the positives of each query.

        Returns:
            Tensor: Of shape (Q, ), long.
        """
        number = self._size.clone()
        rows, cols = self._gone  # (E, ), (E, )
        # Rows of excluded pairs that are matches: look each up in its range.
        for start in range(0, len(rows), 1 << 16):
            some = rows[start : start + (1 << 16)]
            # One number a pair, so that pairs can be looked up as ids are.
            codes = some * self._width + cols[start : start + (1 << 16)]
            own = torch.isin(codes, self._codes(some.unique()))
            number.index_add_(0, some[own], -torch.ones_like(some[own]))
        return number

    def _codes(self, queries: torch.Tensor) -> torch.Tensor:
        """Number the matching pairs of some queries, (P, ): row * G + col."""
        rows, cols = self._expand(queries)
        return queries[rows] * self._width + cols

    def _expand(self, queries: torch.Tensor) -> Pairs:
        """List the matches of q queries: places in ``queries``, columns."""
        size = self._size[queries]  # (q, )
        rows = torch.arange(len(queries), device=size.device)
        rows = rows.repeat_interleave(size)  # (P, )
        place = torch.arange(len(rows), device=size.device)
        place -= (size.cumsum(0) - size)[rows]  # 0, 1, ... within its query
        return rows, self._cols[self._low[queries][rows] + place]

    def block(self, start: int, stop: int) -> tuple[Pairs, Pairs]:
        """Give the pairs of the queries from start to stop.

        Args:
            start (int): First query.
            stop (int): One after the last query.

        Returns:
            tuple: Matching pairs, by query in ascending order, and excluded
            pairs; query indices count from ``start``.
        """
        stop = min(stop, len(self._size))
        queries = torch.arange(start, stop, device=self._size.device)
        rows, cols = self._expand(queries)  # (P, ), (P, )
        inside = (self._gone[0] >= start) & (self._gone[0] < stop)
        gone = (self._gone[0][inside] - start, self._gone[1][inside])
        if len(gone[0]):
            codes = gone[0] * self._width + gone[1]
            keep = ~torch.isin(rows * self._width + cols, codes)
            rows, cols = rows[keep], cols[keep]
        return (rows, cols), gone


class MatchedBlocks:
    """A similarity matrix in blocks of queries, with their matches.

    ``blocks[i]`` is a tuple: scores (B, G), matching pairs and excluded pairs,
    as :meth:`Matches.block` gives them. A NaN among the scores raises a
    ValueError.

    Args:
        similarity (Tensor | ndarray): Scores, of shape (Q, G), floating.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        ignore_ids (Sequence[int]): Ids that match nothing.
        exclude (tuple[Tensor, Tensor], optional): Query and gallery indices
            of pairs that are out of the ranking.
        first_query (int): Number of the first row, for messages. Defaults
            to 0.

    Raises:
        ValueError: If shapes do not fit or the scores are not floating.
    """

    def __init__(
        self,
        similarity: Array,
        query_ids: Array,
        gallery_ids: Array,
        ignore_ids: Sequence[int],
        exclude: Pairs | None,
        first_query: int = 0,
    ) -> None:
        self._first = first_query
        self.similarity = scores = torch.as_tensor(similarity)
        queries = to_ids(query_ids, 'query_ids', scores.device)
        gallery = to_ids(gallery_ids, 'gallery_ids', scores.device)
        if scores.shape != (len(queries), len(gallery)):
            raise ValueError(
                f'similarity has shape {tuple(scores.shape)}, but there are '
                f'{len(queries)} query ids and {len(gallery)} gallery ids.'
            )
        if not scores.is_floating_point():
            raise ValueError(
                f'similarity must be floating, got {scores.dtype}.'
            )
        self._matches = Matches(queries, gallery, ignore_ids, exclude)
        self._step = max(1, BLOCK_ELEMENTS // len(gallery))

    def __len__(self) -> int:
        return -(-len(self.similarity) // self._step)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Pairs, Pairs]:
        start, stop = index * self._step, (index + 1) * self._step
        scores = self.similarity[start:stop]
        if scores.dtype in (torch.float16, torch.bfloat16):
            scores = scores.float()
        refuse_nan(scores, self._first + start)
        return scores, *self._matches.block(start, stop)


def _distinct(
    exclude: Pairs | None, device: torch.device, queries: int, gallery: int
) -> Pairs:
    """Distinct pairs on a device, none as empty vectors."""
    if exclude is None:
        empty = torch.zeros(0, dtype=torch.long, device=device)
        return empty, empty
    pairs = [torch.as_tensor(x, device=device) for x in exclude]
    if len(pairs) != 2 or pairs[0].shape != pairs[1].shape:
        shapes = ' and '.join(str(tuple(x.shape)) for x in pairs)
        raise ValueError(
            'exclude must be two vectors of one length, query and gallery '
            f'indices, got shapes {shapes}.'
        )
    for indices, number, name in zip(
        pairs, (queries, gallery), ('query', 'gallery'), strict=True
    ):
        if indices.is_floating_point() or indices.dtype == torch.bool:
            raise ValueError(
                f'The {name} indices of exclude must be integers, got '
                f'{indices.dtype}.'
            )
        wrong = indices[(indices < 0) | (indices >= number)]
        if len(wrong):
            raise ValueError(
                f'exclude names {name} {int(wrong[0])}: there are 0 to '
                f'{number - 1}.'
            )
    rows, cols = torch.stack([x.long() for x in pairs]).unique(dim=1)
    return rows, cols


def refuse_nan(scores: torch.Tensor, start: int, first: int = 0) -> None:
    """Stop at a NaN among scores.

    Args:
        scores (Tensor): Of shape (B, n).
        start (int): The query of the first row.
        first (int): The gallery item of the first column. Defaults to 0.

    Raises:
        ValueError: If there is one, with its query and item.
    """
    # The sum costs a twentieth of looking at each; inf - inf is NaN too.
    if not scores.sum().isnan():
        return
    rows = scores.isnan().any(dim=1).nonzero()[:, 0]
    if len(rows):
        row = int(rows[0])
        col = first + int(scores[row].isnan().nonzero()[0])
        raise ValueError(
            f'The similarity of query {start + row} with gallery item {col} '
            f'is NaN, and {len(rows) - 1} or more other queries have NaN. '
            'The features are probably not finite: look at the model or the '
            'checkpoint.'
        )
