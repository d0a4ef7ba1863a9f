"""Ranks within one block of queries, by counting."""

import torch

from .matches import Pairs

# Up to so many positives one pass for each beats a binary search. On one core
# the two cross at about 90 where positives stand clear of the rest, so that a
# search always goes the same way, and at 340 where they lie among the rest.
_FEW_POSITIVES = 128


def list_block(
    scores: torch.Tensor, pairs: Pairs, excluded: Pairs, num: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """List the best of each row, negatives first among equal scores.

    Args:
        scores (Tensor): Of shape (B, G), floating.
        pairs (tuple[Tensor, Tensor]): Rows and columns that match.
        excluded (tuple[Tensor, Tensor]): Rows and columns to leave out.
        num (int): Length of the lists, cut to G.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Index, score (-inf if excluded) and
        correctness, each of shape (B, num).
    """
    scores = scores.clone()
    scores[excluded] = -torch.inf
    match = torch.zeros_like(scores, dtype=torch.bool)
    match[pairs] = True
    size = min(num, scores.shape[1])
    wrong = scores.masked_fill(match, -torch.inf).topk(size)
    right = scores.masked_fill_(~match, -torch.inf).topk(size)
    score = torch.cat([wrong.values, right.values], dim=1)
    index = torch.cat([wrong.indices, right.indices], dim=1)
    score, order = score.sort(dim=1, descending=True, stable=True)
    index, score = index.gather(1, order)[:, :size], score[:, :size]
    return index, score, match.gather(1, index)


def rank_block(
    scores: torch.Tensor, match: Pairs, excluded: Pairs, against: bool
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Rank the positives of a block of queries.

    Args:
        scores (Tensor): Of shape (B, G), floating.
        match (tuple[Tensor, Tensor]): Rows, ascending, and columns that match.
        excluded (tuple[Tensor, Tensor]): Rows and columns to leave out.
        against (bool): Whether ties count against the query.

    Returns:
        tuple[Tensor, Tensor, int]: Ranks, ascending by row, and their rows,
        each of shape (P, ), long, and B.
    """
    rows, cols = match  # (P, ), (P, )
    counts = torch.bincount(rows, minlength=len(scores))  # (B, )
    # Queries have different numbers of positives: a table of the largest
    # number W, padded with inf, lets all of them be ranked at once.
    width = max(1, int(counts.max()))
    slot = torch.arange(len(rows), device=rows.device)  # (P, )
    slot -= (counts.cumsum(0) - counts)[rows]  # 0, 1, ... within its query
    positives = scores.new_full((len(scores), width), torch.inf)  # (B, W)
    positives[rows, slot] = scores[rows, cols]
    positives = positives.sort(dim=1).values  # ascending, then the padding
    # A rank is one plus the number of items before: counting them costs less
    # than sorting the gallery, of which only few places are asked for.
    before = _count_before(scores, positives, against)  # (B, W)
    gone = scores[excluded][:, None]  # (E, 1)
    beaten = positives[excluded[0]]  # (E, W)
    gone = gone >= beaten if against else gone > beaten  # (E, W)
    before.index_add_(0, excluded[0], gone.long(), alpha=-1)
    # What is counted has the positives in it, and equal ones all or none. So
    # take them out and put in their own order: of n positives, n - below are
    # counted and the one in place i comes as number n - i of them.
    below = torch.searchsorted(positives, positives, right=not against)
    below = torch.minimum(below, counts[:, None])  # (B, W), not the padding
    place = torch.arange(width, device=rows.device)  # (W, )
    ranks = before - (counts[:, None] - below) + (counts[:, None] - place)
    valid = (place < counts[:, None]).flip(1)  # (B, W), the padding out
    return ranks.flip(1)[valid], rows, len(scores)  # (P, ), best first


def _count_before(
    scores: torch.Tensor, positives: torch.Tensor, against: bool
) -> torch.Tensor:
    """Count the items at or above each positive, (B, G), (B, P) -> (B, P).

    Positives are ascending. With ``against`` equal scores count.
    """
    width = positives.shape[1]
    if width <= _FEW_POSITIVES:
        return _count_by_passes(scores, positives, against)
    # How many positives an item beats tells its bin; sums of bins from the
    # top are the items that beat each positive.
    place = torch.searchsorted(positives, scores, right=against)  # (B, G)
    bins = torch.zeros(len(scores), width + 1, device=scores.device)
    bins = bins.long().scatter_add_(
        1, place, torch.ones_like(place[:1, :1]).expand_as(place)
    )  # (B, P + 1)
    return bins[:, 1:].flip(1).cumsum(1).flip(1)  # (B, P)


def _count_by_passes(
    scores: torch.Tensor, positives: torch.Tensor, against: bool
) -> torch.Tensor:
    """Compare all items with one positive of each query at a time."""
    compare = torch.ge if against else torch.gt
    # Ones in float32 add up much faster than bools, and exactly below 2**24.
    exact = torch.float32 if scores.shape[1] < 1 << 24 else torch.float64
    above = torch.empty_like(scores, dtype=exact)
    counts = [
        compare(scores, column[:, None], out=above).sum(dim=1)
        for column in positives.unbind(1)
    ]
    return torch.stack(counts, dim=1).long()
