"""Similarity of queries to gallery items of several vectors each.

The score of a pair is the mean of the ``topk_tokens`` largest of the T dot
products. Neither (Q, G, T) nor anything of that order is ever in memory.

The matrix product always runs on tiles of one fixed shape, the last ones
filled with zeros, and a query and an item have their place in a tile by their
own index. The score of a pair therefore depends on neither the size of a chunk
nor the number of threads nor the other items. It may depend on where the two
stand, as some kernels round edge rows of a tile otherwise; so that equal items
still tie, all of them get the scores of the first. Who ranks single queries
gives this up for tiles as narrow as the queries are few.
"""

import threading
from collections.abc import Iterator

import torch

from mmtpr.utils.precision import exact_matmul

from .equal_items import EqualItems, equal_items
from .stacked_items import StackedItems
from .threads import map_in_threads

# One tile is 256 queries x 2,048 gallery vectors: 2 MiB of products.
TILE_QUERIES = 256
_TILE_VECTORS = 2048
# Narrow tiles promise no equal bits: the fewer the queries, the more vectors.
_MOST_TILES, _WIDE = 8, 64
#: Gallery vectors that are multiplied at a time, at most.
MOST_TILE_VECTORS = _MOST_TILES * _TILE_VECTORS
# Rows of similarities that may wait for their ranking, in bytes.
_ROWS_BYTES = 64 << 20


@torch.no_grad()
def topk_similarity(
    query: torch.Tensor,
    tokens: torch.Tensor,
    topk_tokens: int = 1,
    chunk_size: int | None = None,
    equal: EqualItems | None = None,
    narrow: bool = False,
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
        equal (tuple[Tensor, Tensor], optional): Result of
            :func:`find_equal_items`, for a gallery that is searched again and
            again. Defaults to None: they are looked for.
        narrow (bool): Whether tiles are narrowed to few queries, many times
            as fast for one; scores then depend by rounding on how many there
            are. Defaults to False.

    Returns:
        Tensor: Similarities, of shape (Q, N), float32.

    Raises:
        ValueError: If shapes do not fit or k is not in 1..T.
    """
    out = query.new_empty(len(query), len(tokens), dtype=torch.float32)
    size = max(1, len(query)) if chunk_size is None else chunk_size
    blocks = similarity_blocks(query, tokens, topk_tokens, size, equal, narrow)
    for start, rows in blocks:
        out[start : start + len(rows)] = rows
        del rows
    return out


def find_equal_items(tokens: torch.Tensor | StackedItems) -> EqualItems:
    """Find the items of a gallery that must tie.

    Args:
        tokens (Tensor | StackedItems): Of shape (N, T, D) or (N, D).

    Returns:
        tuple[Tensor, Tensor]: Indices of the later and of the first of equal
        items, two long vectors, empty if all differ.
    """
    none = torch.zeros(0, dtype=torch.long, device=tokens.device)
    return equal_items(tokens) or (none, none)


@torch.no_grad()
def similarity_blocks(
    query: torch.Tensor,
    tokens: torch.Tensor | StackedItems,
    topk_tokens: int = 1,
    chunk_size: int | None = None,
    equal: EqualItems | None = None,
    narrow: bool = False,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the similarities of some queries to the whole gallery at a time.

    Args:
        query (Tensor): Of shape (Q, D), floating.
        tokens (Tensor | StackedItems): Of shape (N, T, D) or (N, D),
            floating.
        topk_tokens (int): See :func:`topk_similarity`.
        chunk_size (int, optional): Queries in a block; multiples of 256 run
            fastest. Defaults to None: as many as fit in 64 MiB of scores,
            256 at least.
        equal (tuple[Tensor, Tensor], optional): See :func:`topk_similarity`.
        narrow (bool): See :func:`topk_similarity`.

    Yields:
        tuple[int, Tensor]: Index of the first query of the block, and
        similarities of shape (B, N), float32.

    Raises:
        ValueError: If shapes do not fit or k is not in 1..T.
    """
    tokens = _checked(query, tokens, topk_tokens)
    size = chunk_size
    if size is None:
        size = _default_chunk(len(tokens))
    if size < 1:
        raise ValueError(f'chunk_size must be at least 1, got {chunk_size}.')
    later, first = find_equal_items(tokens) if equal is None else equal
    width = _tile_width(len(query), narrow)
    for start in range(0, len(query), size):
        block = query[start : start + size]
        scores = _score_block(block, start, tokens, topk_tokens, width)
        if len(later):
            scores[:, later] = scores[:, first]
        yield start, scores
        del scores  # or two blocks are alive while the next one is made


@torch.no_grad()
def similarity_columns(
    query: torch.Tensor,
    tokens: torch.Tensor | StackedItems,
    topk_tokens: int = 1,
    equal: EqualItems | None = None,
    narrow: bool = False,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the similarities of all queries to a part of the gallery.

    The bits are those of :func:`topk_similarity`; memory holds 64 MiB of
    scores however large the gallery is, or one tile of each query.

    Args:
        query (Tensor): Of shape (Q, D), floating.
        tokens (Tensor | StackedItems): Of shape (N, T, D) or (N, D),
            floating.
        topk_tokens (int): See :func:`topk_similarity`.
        equal (tuple[Tensor, Tensor], optional): Likewise.
        narrow (bool): Likewise.

    Yields:
        tuple[int, Tensor]: Index of the first item of the part, and
        similarities of shape (Q, n), float32.

    Raises:
        ValueError: If shapes do not fit or k is not in 1..T.
    """
    tokens = _checked(query, tokens, topk_tokens)
    later, first = find_equal_items(tokens) if equal is None else equal
    width = _tile_width(len(query), narrow)
    # Whole tiles, so that each item keeps its place in one.
    tile = max(1, _TILE_VECTORS // tokens.shape[1])
    size = max(1, _ROWS_BYTES // (4 * tile * max(1, len(query)))) * tile
    firsts, place = first.unique(return_inverse=True)
    known = query.new_empty(len(query), len(firsts), dtype=torch.float32)
    for start in range(0, len(tokens), size):
        part = tokens[start : start + size]
        scores = _score_block(query, 0, part, topk_tokens, width)
        stop = start + len(part)
        # The first of equal items comes before the others.
        own = (firsts >= start) & (firsts < stop)
        known[:, own] = scores[:, firsts[own] - start]
        own = (later >= start) & (later < stop)
        scores[:, later[own] - start] = known[:, place[own]]
        yield start, scores
        del scores  # or two parts are alive while the next one is made


def _checked(
    query: torch.Tensor, tokens: torch.Tensor | StackedItems, k: int
) -> torch.Tensor | StackedItems:
    """The gallery as (N, T, D), if it goes with the queries."""
    if isinstance(tokens, torch.Tensor) and tokens.dim() == 2:
        tokens = tokens[:, None]
    if (
        query.dim() != 2
        or tokens.dim() != 3
        or query.shape[1] != tokens.shape[2]
    ):
        raise ValueError(
            'Expected query features (Q, D) and gallery features (N, T, D), '
            f'got {tuple(query.shape)} and {tuple(tokens.shape)}.'
        )
    if not isinstance(k, int):
        raise ValueError(f'topk_tokens must be a whole number, got {k!r}.')
    if not 1 <= k <= tokens.shape[1]:
        raise ValueError(
            f'topk_tokens is {k}, but a gallery item has {tokens.shape[1]} '
            'vectors; choose from 1 to that number.'
        )
    return tokens


def _tile_width(queries: int, narrow: bool) -> int:
    return max(1, min(TILE_QUERIES, queries)) if narrow else TILE_QUERIES


def _default_chunk(gallery: int) -> int:
    rows = _ROWS_BYTES // (4 * max(1, gallery))
    return max(1, rows // TILE_QUERIES) * TILE_QUERIES


def _score_block(
    query: torch.Tensor,
    start: int,
    tokens: torch.Tensor | StackedItems,
    k: int,
    width: int,
) -> torch.Tensor:
    """(B, D), (N, T, D) -> (B, N), one column of tiles after the other."""
    narrow = width < TILE_QUERIES
    times = max(1, min(_MOST_TILES, _WIDE // width)) if narrow else 1
    vectors = _TILE_VECTORS * times
    items = max(1, vectors // tokens.shape[1])
    out = query.new_empty(len(query), len(tokens), dtype=torch.float32)
    local = threading.local()

    @torch.no_grad()
    def column(col: int) -> None:
        if not hasattr(local, 'buffers'):
            # For the gallery's part of a tile there is one when it is needed.
            local.buffers = [None, _new_buffer(tokens, width)]
        some = slice(col, col + items)
        part, scores = tokens[some], out[:, some]
        padded = part.shape[:2] != (items, 1) and not narrow
        if padded and local.buffers[0] is None:
            local.buffers[0] = _new_buffer(tokens, tokens.shape[1], items)
        _score_column(query, start, part, k, scores, *local.buffers)

    with exact_matmul(query.device):
        map_in_threads(column, range(0, len(tokens), items), query.is_cuda)
    return out


def _new_buffer(
    tokens: torch.Tensor | StackedItems, *shape: int
) -> torch.Tensor:
    """Zeros of a tile, (*shape, D)."""
    dim, device = tokens.shape[2], tokens.device
    return torch.zeros(*shape, dim, dtype=torch.float32, device=device)


def _score_column(
    query: torch.Tensor,
    start: int,
    part: torch.Tensor,
    k: int,
    out: torch.Tensor,
    left: torch.Tensor | None,
    right: torch.Tensor,
) -> None:
    """Score all queries (B, D) against a few items into ``out`` (B, n).

    The first query has the index ``start`` in the whole set, which decides
    its row in a tile.
    """
    width = len(right)
    if left is None:
        # Of one vector in order already; narrow tiles are not filled up.
        items = part.transpose(0, 1).flatten(0, 1).float()  # (T * items, D)
        shape = (part.shape[1], len(part))
    elif len(part) == left.shape[1] and len(left) == 1:
        items, shape = part[:, 0].float(), (1, len(part))
    else:
        left[:, : len(part)] = part.transpose(0, 1)
        items = left.flatten(0, 1)  # (T * items, D)
        shape = (left.shape[0], left.shape[1])
    stop = start + len(query)
    aligned = start - start % width
    for top in range(aligned, stop, width):
        first, last = max(start, top), min(stop, top + width)
        rows = slice(first - top, last - top)
        right[rows] = query[first - start : last - start]
        if shape[0] == 1 and width == TILE_QUERIES:
            # The same bits, and no transpose to be written. Of several
            # vectors, and of few queries, the product is slower this way.
            score = torch.mm(right, items.t())  # (queries, items)
        else:
            tile = torch.mm(items, right.t())
            tile = tile.unflatten(0, shape)  # (T, items, queries)
            score = mean_of_top(tile, k).t()  # (queries, items)
        out[first - start : last - start] = score[rows, : len(part)]


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
