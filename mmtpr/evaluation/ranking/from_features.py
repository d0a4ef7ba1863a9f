"""Ranking straight from features, in bounded memory."""

from collections.abc import Sequence

import torch

from ..similarity import similarity_blocks
from ..stacked_items import StackedItems
from . import wide
from .matches import Array, Pairs, check_missing, to_ids
from .ranking import (
    TIES,
    Ranking,
    check_topk,
    ranked_lists,
    ranks_of_positives,
)


def rank_features(
    query_feats: torch.Tensor,
    query_ids: Array,
    gallery_feats: torch.Tensor,
    gallery_ids: Array,
    topk: Sequence[int] = (1, 5, 10),
    topk_tokens: int = 1,
    ties: str = 'pessimistic',
    ignore_ids: Sequence[int] = (-1,),
    on_missing: str = 'error',
    exclude: Pairs | None = None,
    chunk_size: int | None = None,
) -> dict[str, float]:
    """Compute R@k, mAP and mINP from features.

    Beside the features, memory holds the similarities of some queries: 64 MiB
    by default, or 1 KiB a gallery item if that is more; beyond 262,144 items
    64 MiB again, with all products computed twice.

    Args:
        query_feats (Tensor): Of shape (Q, D), normalised.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_feats (Tensor): Of shape (G, T, D) or (G, D), normalised.
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).
        topk_tokens (int): How many of the T cosines are averaged. Defaults
            to 1.
        ties (str): See :func:`rank_metrics`.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        on_missing (str): For queries without a positive: ``'error'`` or
            ``'skip'``. Defaults to ``'error'``.
        exclude (tuple[Tensor, Tensor], optional): See :func:`rank_metrics`.
        chunk_size (int, optional): Queries in a block. Never changes the
            result. Defaults to None.

    Returns:
        dict[str, float]: ``R@k`` for each k, ``mAP`` and ``mINP``, in
        percent.

    Raises:
        ValueError: As :func:`rank_metrics` and :func:`topk_similarity`.
    """
    check_topk(topk)
    check_missing(query_ids, gallery_ids, ignore_ids, exclude, on_missing)
    ranking, _ = rank_queries(
        query_feats,
        query_ids,
        gallery_feats,
        gallery_ids,
        topk_tokens=topk_tokens,
        ties=ties,
        ignore_ids=ignore_ids,
        exclude=exclude,
        chunk_size=chunk_size,
    )
    return ranking.metrics(topk)


def rank_queries(
    query_feats: torch.Tensor,
    query_ids: Array,
    gallery_feats: torch.Tensor | StackedItems,
    gallery_ids: Array,
    topk_tokens: int = 1,
    ties: str = 'pessimistic',
    ignore_ids: Sequence[int] = (-1,),
    exclude: Pairs | None = None,
    chunk_size: int | None = None,
    list_size: int = 0,
) -> tuple[Ranking, dict[str, torch.Tensor]]:
    """Rank all positives and, if wanted, list the head of each ranking.

    Args:
        query_feats (Tensor): Of shape (Q, D), normalised.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_feats (Tensor | StackedItems): Of shape (G, T, D) or (G, D),
            normalised.
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        topk_tokens (int): How many of the T cosines are averaged.
        ties (str): See :func:`rank_metrics`.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        exclude (tuple[Tensor, Tensor], optional): See :func:`rank_metrics`.
        chunk_size (int, optional): Queries in a block. Defaults to None.
        list_size (int): Length of the lists; 0 for none. Defaults to 0.

    Returns:
        tuple[Ranking, dict[str, Tensor]]: The ranks of all positives, and
        what :func:`ranked_lists` gives (empty without lists).
    """
    query_ids = to_ids(query_ids, 'query_ids')
    gallery_ids = to_ids(gallery_ids, 'gallery_ids')
    if len(query_feats) != len(query_ids) or len(gallery_feats) != len(
        gallery_ids
    ):
        raise ValueError(
            f'There are {len(query_feats)} query features for '
            f'{len(query_ids)} ids and {len(gallery_feats)} gallery features '
            f'for {len(gallery_ids)} ids.'
        )
    if exclude is not None:
        check_missing(query_ids, gallery_ids, ignore_ids, exclude, 'skip')
    if ties not in TIES:
        raise ValueError(f'ties must be one of {TIES}, not {ties!r}.')
    if len(gallery_ids) > wide.WIDE and chunk_size is None:
        return wide.rank_wide(
            *(query_feats, query_ids, gallery_feats, gallery_ids),
            *(topk_tokens, ties == 'pessimistic', ignore_ids, exclude),
            list_size,
        )
    parts, lists = [], []
    for start, scores in similarity_blocks(
        query_feats, gallery_feats, topk_tokens, chunk_size
    ):
        ids = query_ids[start : start + len(scores)]
        pairs = _pairs_of(exclude, start, len(scores))
        parts.append(
            ranks_of_positives(
                *(scores, ids, gallery_ids, ties, ignore_ids, pairs),
                first_query=start,
            )
        )
        if list_size:
            lists.append(
                ranked_lists(
                    scores, ids, gallery_ids, list_size, ignore_ids, pairs
                )
            )
        del scores  # or two blocks are alive while the next one is made
    keys = lists[0] if lists else ()
    return Ranking.join(parts), {
        key: torch.cat([part[key] for part in lists]) for key in keys
    }


def _pairs_of(exclude: Pairs | None, start: int, size: int) -> Pairs | None:
    """Excluded pairs of a block, rows counted from its start."""
    if exclude is None:
        return None
    rows, cols = exclude
    inside = (rows >= start) & (rows < start + size)
    return rows[inside] - start, cols[inside]
