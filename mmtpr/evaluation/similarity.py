"""Similarity of queries to gallery items of several vectors each.

The score of a pair is the mean of the ``topk_tokens`` largest of the T dot
products. Neither (Q, G, T) nor anything of that order is ever in memory.

The matrix product always runs on tiles of one fixed shape, the last ones
filled with zeros, and a query and an item have their place in a tile by their
own index. The score of a pair therefore depends on neither the size of a chunk
nor the number of threads nor the other items. It may depend on where the two
stand, as some kernels round edge rows of a tile otherwise; so that equal items
still tie, all of them get the scores of the first.
"""

import threading
from collections.abc import Iterator
from typing import Any

import torch

from .equal_items import equal_items
from .stacked_items import StackedItems
from .threads import map_in_threads

# One tile is 256 queries x 2,048 gallery vectors: 2 MiB of products.
_TILE_QUERIES = 256
_TILE_VECTORS = 2048
# Rows of similarities that may wait for their ranking, in bytes.
_ROWS_BYTES = 64 << 20


@torch.no_grad()
def topk_similarity(
    query: torch.Tensor,
    tokens: torch.Tensor,
    topk_tokens: int = 1,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Compute the mean of the top k of T dot products of every pair.

    Args:
        query (Tensor): Query features, of shape (Q, D), floating. Normalise
            them for cosines.
        tokens (Tensor): Gallery features, of shape (N, T, D), or (N, D) for
            T = 1, on the same device.
        topk_tokens (int): The k, from 1 to T. Defaults to 1.
        chunk_size (int, optional): Queries handled at a time. Changes the
            memory, never the result. Defaults to None, all of them.

    Returns:
        Tensor: Similarities, of shape (Q, N), float32.

    Raises:
        ValueError: If shapes do not fit or k is not in 1..T.
    """
    out = query.new_empty(len(query), len(tokens), dtype=torch.float32)
    size = chunk_size or max(1, len(query))
    for start, rows in similarity_blocks(query, tokens, topk_tokens, size):
        out[start : start + len(rows)] = rows
        del rows
    return out


@torch.no_grad()
def similarity_blocks(
    query: torch.Tensor,
    tokens: torch.Tensor | StackedItems,
    topk_tokens: int = 1,
    chunk_size: int | None = None,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the similarities of some queries to the whole gallery at a time.

    Args:
        query (Tensor): Of shape (Q, D), floating.
        tokens (Tensor | StackedItems): Of shape (N, T, D) or (N, D),
            floating.
        topk_tokens (int): See :func:`topk_similarity`.
        chunk_size (int, optional): Queries in a block; multiples of 256 run
            fastest. Defaults to None: as many as fit in 64 MiB of scores.

    Yields:
        tuple[int, Tensor]: Index of the first query of the block, and
        similarities of shape (B, N), float32.

    Raises:
        ValueError: If shapes do not fit or k is not in 1..T.
    """
    if isinstance(tokens, torch.Tensor) and tokens.dim() == 2:
        tokens = tokens[:, None]
    _check(query, tokens, topk_tokens)
    size = chunk_size or _default_chunk(len(tokens))
    if size < 1:
        raise ValueError(f'chunk_size must be at least 1, got {chunk_size}.')
    equal = equal_items(tokens)
    for start in range(0, len(query), size):
        block = query[start : start + size]
        scores = _score_block(block, start, tokens, topk_tokens)
        if equal is not None:
            later, first = equal
            scores[:, later] = scores[:, first]
        yield start, scores
        del scores  # or two blocks are alive while the next one is made


def _check(
    query: torch.Tensor, tokens: torch.Tensor | StackedItems, k: int
) -> None:
    if (
        query.dim() != 2
        or tokens.dim() != 3
        or query.shape[1] != tokens.shape[2]
    ):
        raise ValueError(
            'Expected query features (Q, D) and gallery features (N, T, D), '
            f'got {tuple(query.shape)} and {tuple(tokens.shape)}.'
        )
    if not 1 <= k <= tokens.shape[1]:
        raise ValueError(
            f'topk_tokens is {k}, but a gallery item has {tokens.shape[1]} '
            'vectors; choose from 1 to that number.'
        )


def _default_chunk(gallery: int) -> int:
    rows = _ROWS_BYTES // (4 * max(1, gallery))
    return max(1, rows // _TILE_QUERIES) * _TILE_QUERIES


def _score_block(
    query: torch.Tensor,
    start: int,
    tokens: torch.Tensor | StackedItems,
    k: int,
) -> torch.Tensor:
    """(B, D), (N, T, D) -> (B, N), one column of tiles after the other."""
    items = max(1, _TILE_VECTORS // tokens.shape[1])
    out = query.new_empty(len(query), len(tokens), dtype=torch.float32)
    local = threading.local()

    @torch.no_grad()
    def column(col: int) -> None:
        if not hasattr(local, 'buffers'):
            local.buffers = _new_buffers(tokens, items)
        some = slice(col, col + items)
        part, scores = tokens[some], out[:, some]
        _score_column(query, start, part, k, scores, *local.buffers)

    map_in_threads(column, range(0, len(tokens), items), query.is_cuda)
    return out


def _new_buffers(
    tokens: torch.Tensor | StackedItems, items: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One tile's gallery (T, items, D) and queries (256, D)."""
    _, num_tokens, dim = tokens.shape
    kind: dict[str, Any] = dict(dtype=torch.float32, device=tokens.device)
    left = torch.zeros(num_tokens, items, dim, **kind)
    return left, torch.zeros(_TILE_QUERIES, dim, **kind)


def _score_column(
    query: torch.Tensor,
    start: int,
    part: torch.Tensor,
    k: int,
    out: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
) -> None:
    """Score all queries (B, D) against a few items into ``out`` (B, n).

    The first query has the index ``start`` in the whole set, which decides
    its row in a tile.
    """
    left[:, : len(part)] = part.transpose(0, 1)
    stop = start + len(query)
    aligned = start - start % _TILE_QUERIES
    for top in range(aligned, stop, _TILE_QUERIES):
        first, last = max(start, top), min(stop, top + _TILE_QUERIES)
        rows = slice(first - top, last - top)
        right[rows] = query[first - start : last - start]
        tile = torch.mm(left.flatten(0, 1), right.t())
        tile = tile.unflatten(0, left.shape[:2])  # (items, T, queries)
        score = mean_of_top(tile, k)[: len(part), rows]  # (n, rows)
        out[first - start : last - start] = score.t()


def mean_of_top(planes: torch.Tensor, k: int) -> torch.Tensor:
    """Average the k largest of T planes, elementwise.

    The k best are kept sorted while the planes go by one after the other; on
    CPUs this is an order of magnitude faster than ``torch.topk`` over few
    values.

    Args:
        planes (Tensor): Of shape (T, ...).
        k (int): From 1 to T.

    Returns:
        Tensor: Of shape (...), of the same type; a view for T = 1.
    """
    if k == 1:
        return planes[0] if len(planes) == 1 else planes.amax(0)
    best = []
    if k == len(planes):
        best = list(planes)
    else:
        for plane in planes:
            _insert(best, plane, k)
    total = best[0] + best[1]
    for value in best[2:]:
        total += value
    return total / k


def _insert(best: list[torch.Tensor], plane: torch.Tensor, k: int) -> None:
    """Insert a plane into at most k planes in descending order."""
    for place, other in enumerate(best):
        best[place] = torch.maximum(other, plane)
        if place < k - 1:
            plane = torch.minimum(other, plane)
    if len(best) < k:
        best.append(plane)
