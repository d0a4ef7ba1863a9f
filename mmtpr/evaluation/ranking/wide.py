"""Ranking in galleries so wide that even a few rows of scores are large.

The scores of a block of queries come part by part of the gallery, twice: first
those of the positives are taken, then what stands before each is counted. The
products are computed twice, and memory holds 64 MiB of scores instead of 1 KiB
an item.
"""

from collections.abc import Iterator, Sequence

import torch

from ..equal_items import EqualItems
from ..similarity import TILE_QUERIES, find_equal_items, similarity_columns
from ..stacked_items import StackedItems
from .counting import ListHead, PositiveTable
from .matches import Matches, Pairs, refuse_nan
from .ranking import Ranking

#: Items from which a block of 256 queries has more than 256 MiB of scores.
WIDE = 1 << 18


def rank_wide(
    query_feats: torch.Tensor,
    query_ids: torch.Tensor,
    gallery_feats: torch.Tensor | StackedItems,
    gallery_ids: torch.Tensor,
    topk_tokens: int,
    against: bool,
    ignore_ids: Sequence[int],
    exclude: Pairs | None,
    list_size: int,
) -> tuple[Ranking, dict[str, torch.Tensor]]:
    """Rank as :func:`rank_queries` does, to the same bits.

    Args:
        query_feats (Tensor): Of shape (Q, D), normalised.
        query_ids (Tensor): Of shape (Q, ), long.
        gallery_feats (Tensor | StackedItems): Of shape (G, T, D) or (G, D),
            normalised.
        gallery_ids (Tensor): Of shape (G, ), long.
        topk_tokens (int): How many of the T cosines are averaged.
        against (bool): Whether ties count against the query.
        ignore_ids (Sequence[int]): Ids that match nothing.
        exclude (tuple[Tensor, Tensor], optional): Pairs to leave out.
        list_size (int): Length of the lists; 0 for none.

    Returns:
        tuple[Ranking, dict[str, Tensor]]: As :func:`rank_queries`.
    """
    matches = Matches(query_ids, gallery_ids, ignore_ids, exclude)
    equal = find_equal_items(gallery_feats)
    parts, heads = [], []
    for start in range(0, len(query_feats), TILE_QUERIES):
        block = query_feats[start : start + TILE_QUERIES]
        pairs, gone = matches.block(start, start + len(block))
        columns = _Columns(block, gallery_feats, topk_tokens, equal)
        found, out = (
            block.new_empty(len(x[0])).float() for x in (pairs, gone)
        )
        head = ListHead(list_size)
        for first, scores in columns:
            refuse_nan(scores, start, first)
            for (rows, cols), values in ((pairs, found), (gone, out)):
                own = _inside(cols, first, scores)
                values[own] = scores[rows[own], cols[own] - first]
            if list_size:
                near, far = (_local(x, first, scores) for x in (pairs, gone))
                head.add(scores, near, far, first)
            del scores
        table = PositiveTable(found, pairs[0], len(block))
        for _, scores in columns:
            table.count(scores, against)
            del scores
        ranks = table.ranks(out, gone[0], against)
        parts.append(Ranking(ranks, pairs[0], len(block)))
        if list_size:
            heads.append(head.lists())
    lists = [torch.cat(x) for x in zip(*heads, strict=True)]
    names = ('index', 'score', 'correct')
    return Ranking.join(parts), dict(zip(names, lists, strict=False))


class _Columns:
    """Scores of a block of queries, which can be gone through again."""

    def __init__(
        self,
        block: torch.Tensor,
        gallery: torch.Tensor | StackedItems,
        topk_tokens: int,
        equal: EqualItems,
    ) -> None:
        self._arguments = (block, gallery, topk_tokens, equal)

    def __iter__(self) -> Iterator[tuple[int, torch.Tensor]]:
        return similarity_columns(*self._arguments)


def _inside(
    cols: torch.Tensor, first: int, scores: torch.Tensor
) -> torch.Tensor:
    return (cols >= first) & (cols < first + scores.shape[1])


def _local(pairs: Pairs, first: int, scores: torch.Tensor) -> Pairs:
    """The pairs in a part of the gallery, columns counted from its start."""
    own = _inside(pairs[1], first, scores)
    return pairs[0][own], pairs[1][own] - first
