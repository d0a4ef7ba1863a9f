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

from .matching import Array, Pairs, check_missing, matched_blocks

TIES = ('pessimistic', 'optimistic')
# Up to so many positives one pass for each beats a binary search.
_FEW_POSITIVES = 24


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
        >>> rank_metrics([[0.9, 0.1, 0.4]], [7], [7, 7, 3])['mAP']
        83.33333333333334
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
) -> Ranking:
    """Rank every positive of every query.

    Args:
        similarity (Tensor | ndarray): Scores, of shape (Q, G), floating.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        ties (str): See :func:`rank_metrics`.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        exclude (tuple[Tensor, Tensor], optional): See :func:`rank_metrics`.

    Returns:
        Ranking: The ranks.

    Raises:
        ValueError: If shapes do not fit, a score is NaN or ``ties`` is
            unknown.
    """
    if ties not in TIES:
        raise ValueError(f'ties must be one of {TIES}, not {ties!r}.')
    parts = [
        _rank_block(scores, match, excluded, ties == 'pessimistic')
        for _, scores, match, excluded in matched_blocks(
            similarity, query_ids, gallery_ids, ignore_ids, exclude
        )
    ]
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
    heads = []
    for _, scores, match, excluded in matched_blocks(
        similarity, query_ids, gallery_ids, ignore_ids, exclude
    ):
        scores = scores.clone()
        scores[excluded] = -torch.inf
        size = min(num, scores.shape[1])
        wrong = scores.masked_fill(match, -torch.inf).topk(size)
        right = scores.masked_fill_(~match, -torch.inf).topk(size)
        score = torch.cat([wrong.values, right.values], dim=1)
        index = torch.cat([wrong.indices, right.indices], dim=1)
        score, order = score.sort(dim=1, descending=True, stable=True)
        index, score = index.gather(1, order)[:, :size], score[:, :size]
        heads.append((index, score, match.gather(1, index)))
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


def _rank_block(
    scores: torch.Tensor, match: torch.Tensor, excluded: Pairs, against: bool
) -> Ranking:
    """Rank the positives (B, G) of a block of queries."""
    rows, cols = match.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(scores))
    width = max(1, int(counts.max()))
    slot = torch.arange(len(rows), device=rows.device)
    slot -= (counts.cumsum(0) - counts)[rows]
    positives = scores.new_full((len(scores), width), torch.inf)
    positives[rows, slot] = scores[rows, cols]
    positives = positives.sort(dim=1).values  # ascending, then the padding
    before = _count_before(scores, positives, against)
    gone = scores[excluded][:, None]
    beaten = positives[excluded[0]]
    gone = gone >= beaten if against else gone > beaten
    before.index_add_(0, excluded[0], gone.long(), alpha=-1)
    # Of what is counted, take out the positives and put the own order in.
    below = torch.searchsorted(positives, positives, right=not against)
    below = torch.minimum(below, counts[:, None])  # not the padding
    place = torch.arange(width, device=rows.device)
    ranks = before - (counts[:, None] - below) + (counts[:, None] - place)
    valid = (place < counts[:, None]).flip(1)
    return Ranking(ranks.flip(1)[valid], rows, len(scores))


def _count_before(
    scores: torch.Tensor, positives: torch.Tensor, against: bool
) -> torch.Tensor:
    """Count the items at or above each positive, (B, G), (B, P) -> (B, P).

    Positives are ascending. With ``against`` equal scores count.
    """
    width = positives.shape[1]
    if width <= _FEW_POSITIVES:
        compare = torch.ge if against else torch.gt
        return torch.stack(
            [
                torch.count_nonzero(compare(scores, column[:, None]), dim=1)
                for column in positives.unbind(1)
            ],
            dim=1,
        )
    place = torch.searchsorted(positives, scores, right=against)
    bins = torch.zeros(len(scores), width + 1, device=scores.device)
    bins = bins.long().scatter_add_(
        1, place, torch.ones_like(place[:1, :1]).expand_as(place)
    )
    return bins[:, 1:].flip(1).cumsum(1).flip(1)
