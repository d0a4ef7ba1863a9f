"""Ranking numbers by counting: R@k, mAP and mINP of a similarity matrix.

The rank of a positive is one more than what stands before it, and that is
counted, not sorted. Conventions, in full:

- A query's *positives* are the gallery items with its id. Ids in
  ``ignore_ids`` (-1: a distractor) match nothing, not even each other.
- *Ties count against the query*: a negative with the score of a positive
  stands before it. A constant scorer therefore has every negative before its
  first positive. ``ties='optimistic'`` puts such negatives behind.
- Positives with equal scores take consecutive ranks; which of them comes
  first changes no number.
- AP is the mean over all positives of precision at their ranks; INP is the
  number of positives over the rank of the last one; R@k asks whether the first
  one has a rank of at most k. All are percentages averaged over queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import torch

from ..threads import map_in_threads
from .counting import list_block, rank_block
from .matches import Array, MatchedBlocks, Pairs, check_missing

TIES = ('pessimistic', 'optimistic')


@dataclass
class Ranking:
    """Ranks of all positives of all queries.

    Args:
        ranks (Tensor): Ranks from 1, ascending within a query, of shape
            (P, ), long.
        rows (Tensor): The query of each, ascending, of shape (P, ), long.
        num_queries (int): Number of queries, those without positives
            included.
    """

    ranks: torch.Tensor
    rows: torch.Tensor
    num_queries: int

    @classmethod
    def join(cls, parts: Sequence['Ranking']) -> 'Ranking':
        """Put the rankings of successive blocks of queries together.

        Args:
            parts (Sequence[Ranking]): In the order of the queries.

        Returns:
            Ranking: Of all queries.
        """
        rows, total = [], 0
        for part in parts:
            rows.append(part.rows + total)
            total += part.num_queries
        return cls(torch.cat([p.ranks for p in parts]), torch.cat(rows), total)

    def per_query(self) -> dict[str, torch.Tensor]:
        """Numbers of each query, NaN for one without positives.

        Returns:
            dict[str, Tensor]: ``'first'`` (rank of the first positive),
            ``'AP'`` and ``'INP'`` in [0, 1], each of shape (Q, ), float64.
        """
        rows, ranks = self.rows, self.ranks.double()
        counts = torch.bincount(rows, minlength=self.num_queries)
        start = counts.cumsum(0) - counts
        order = torch.arange(len(rows), device=rows.device) - start[rows] + 1
        precision = torch.zeros(
            self.num_queries, dtype=torch.float64, device=rows.device
        ).index_add_(0, rows, order / ranks)
        has = counts > 0
        first, last = torch.full((2, self.num_queries), torch.nan).double()
        first, last = first.to(rows.device), last.to(rows.device)
        first[has] = ranks[start[has]]
        last[has] = ranks[(start + counts - 1)[has]]
        return dict(first=first, AP=precision / counts, INP=counts / last)

    def metrics(self, topk: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
        """Average over the queries that have positives.

        Args:
            topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).

        Returns:
            dict[str, float]: ``R@k`` for each k, ``mAP`` and ``mINP``, in
            percent.
        """
        check_topk(topk)
        numbers = self.per_query()
        has = ~numbers['first'].isnan()
        first = numbers['first'][has]
        values = [(first <= k).double().mean() for k in topk]
        values += [numbers['AP'][has].mean(), numbers['INP'][has].mean()]
        names = [f'R@{k}' for k in topk] + ['mAP', 'mINP']
        return dict(
            zip(names, (100 * torch.stack(values)).tolist(), strict=True)
        )


def rank_metrics(
    similarity: Array,
    query_ids: Array,
    gallery_ids: Array,
    topk: Sequence[int] = (1, 5, 10),
    ties: str = 'pessimistic',
    ignore_ids: Sequence[int] = (-1,),
    on_missing: str = 'error',
    exclude: Pairs | None = None,
) -> dict[str, float]:
    """Compute R@k, mAP and mINP of a similarity matrix.

    Nothing is sorted but each query's positives; beside the matrix a few
    megabytes are used, whatever its size.

    Args:
        similarity (Tensor | ndarray): Scores, higher is better, of shape
            (Q, G), floating.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).
        ties (str): ``'pessimistic'`` (a negative with a positive's score
            stands before it) or ``'optimistic'``.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        on_missing (str): For queries without a positive: ``'error'`` or
            ``'skip'``. Defaults to ``'error'``.
        exclude (tuple[Tensor, Tensor], optional): Query and gallery indices
            of pairs that are taken out of the ranking. Defaults to None.

    Returns:
        dict[str, float]: ``R@k`` for each k, ``mAP`` and ``mINP``, in
        percent.

    Raises:
        ValueError: If shapes do not fit, a score is NaN, an option is unknown,
            or a query has no positive and ``on_missing`` is ``'error'``.

    Examples:
        >>> rank_metrics([[0.9, 0.1, 0.4]], [7], [7, 7, 3])['R@1']
        100.0
    """
    check_topk(topk)
    check_missing(query_ids, gallery_ids, ignore_ids, exclude, on_missing)
    ranking = ranks_of_positives(
        similarity, query_ids, gallery_ids, ties, ignore_ids, exclude
    )
    return ranking.metrics(topk)


def ranks_of_positives(
    similarity: Array,
    query_ids: Array,
    gallery_ids: Array,
    ties: str = 'pessimistic',
    ignore_ids: Sequence[int] = (-1,),
    exclude: Pairs | None = None,
    first_query: int = 0,
) -> Ranking:
    """Rank every positive of every query.

    Args:
        similarity (Tensor | ndarray): Scores, of shape (Q, G), floating.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        ties (str): See :func:`rank_metrics`.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        exclude (tuple[Tensor, Tensor], optional): See :func:`rank_metrics`.
        first_query (int): Number of the first row, for messages. Defaults
            to 0.

    Returns:
        Ranking: The ranks.

    Raises:
        ValueError: If shapes do not fit, a score is NaN or ``ties`` is
            unknown.
    """
    if ties not in TIES:
        raise ValueError(f'ties must be one of {TIES}, not {ties!r}.')
    blocks = MatchedBlocks(
        *(similarity, query_ids, gallery_ids, ignore_ids, exclude),
        first_query,
    )
    parts = map_in_threads(
        lambda index: Ranking(
            *rank_block(*blocks[index], ties == 'pessimistic')
        ),
        range(len(blocks)),
        blocks.similarity.is_cuda,
    )
    return Ranking.join(parts)


def ranked_lists(
    similarity: Array,
    query_ids: Array,
    gallery_ids: Array,
    num: int = 10,
    ignore_ids: Sequence[int] = (-1,),
    exclude: Pairs | None = None,
) -> dict[str, torch.Tensor]:
    """Find the items at the head of each query's ranking.

    The order is that of the pessimistic tie rule: among equal scores,
    negatives come first.

    Args:
        similarity (Tensor | ndarray): Scores, of shape (Q, G), floating.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        num (int): Length of the lists, cut to G. Defaults to 10.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        exclude (tuple[Tensor, Tensor], optional): See :func:`rank_metrics`.
            An excluded pair has the score -inf in a list it gets into.

    Returns:
        dict[str, Tensor]: ``'index'`` (long), ``'score'`` (as the
        similarity) and ``'correct'`` (bool), each of shape (Q, num).
    """
    blocks = MatchedBlocks(
        similarity, query_ids, gallery_ids, ignore_ids, exclude
    )
    heads = map_in_threads(
        lambda index: list_block(*blocks[index], num),
        range(len(blocks)),
        blocks.similarity.is_cuda,
    )
    index, score, correct = (torch.cat(x) for x in zip(*heads, strict=True))
    return dict(index=index, score=score, correct=correct)


def check_topk(topk: Sequence[int]) -> None:
    """Check the k of R@k.

    Args:
        topk (Sequence[int]): Positive integers.

    Raises:
        ValueError: If it is empty or holds something else.
    """
    bad = [k for k in topk if not isinstance(k, Integral) or k < 1]
    if bad or not len(topk):
        raise ValueError(
            f'topk must hold positive integers, got {tuple(topk)}.'
        )
