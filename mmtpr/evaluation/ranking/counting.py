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
    head = ListHead(num)
    head.add(scores, pairs, excluded, 0)
    return head.lists()


class ListHead:
    """The best of each row of a gallery that comes part by part.

    Args:
        num (int): Length of the lists, cut to the items there are.
    """

    def __init__(self, num: int) -> None:
        self.num = num
        self._best: dict[str, tuple[torch.Tensor, ...]] = {}

    def add(
        self,
        scores: torch.Tensor,
        pairs: Pairs,
        excluded: Pairs,
        start: int,
    ) -> None:
        """Take a part of the gallery into account.

        Args:
            scores (Tensor): Of shape (B, n), floating.
            pairs (tuple[Tensor, Tensor]): Rows and columns of the part that
                match.
            excluded (tuple[Tensor, Tensor]): Rows and columns to leave out.
            start (int): Index of its first item.
        """
        scores = scores.clone()
        scores[excluded] = -torch.inf
        # What is of the other list gets less, so that none is in both.
        scores.clamp_(min=torch.finfo(scores.dtype).min)
        match = torch.zeros_like(scores, dtype=torch.bool)
        match[pairs] = True
        size = min(self.num, scores.shape[1])
        wrong = scores.masked_fill(match, -torch.inf).topk(size)
        right = scores.masked_fill_(~match, -torch.inf).topk(size)
        for name, found in (('wrong', wrong), ('right', right)):
            correct = match.gather(1, found.indices)
            self._join(name, found.values, found.indices + start, correct)

    def _join(self, name: str, *new: torch.Tensor) -> None:
        """Put scores, indices and correctness behind what there is."""
        if name in self._best:
            pairs = zip(self._best[name], new, strict=True)
            new = _sorted(*(torch.cat(pair, dim=1) for pair in pairs))
        self._best[name] = tuple(x[:, : self.num] for x in new)

    def lists(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give the lists, negatives first among equal scores.

        Returns:
            tuple[Tensor, Tensor, Tensor]: As :func:`list_block`.
        """
        pairs = zip(self._best['wrong'], self._best['right'], strict=True)
        size = self._best['wrong'][0].shape[1]
        joined = _sorted(*(torch.cat(pair, dim=1) for pair in pairs))
        score, index, correct = (x[:, :size] for x in joined)
        lowest = torch.finfo(score.dtype).min
        score = score.masked_fill(score == lowest, -torch.inf)
        return index, score, correct


def _sorted(
    score: torch.Tensor, *others: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Order by score, largest first; of equal ones the first stays first."""
    score, order = score.sort(dim=1, descending=True, stable=True)
    return score, *(x.gather(1, order) for x in others)


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
    table = PositiveTable(scores[match], match[0], len(scores))
    table.count(scores, against)
    ranks = table.ranks(scores[excluded], excluded[0], against)
    return ranks, match[0], len(scores)


class PositiveTable:
    """The positives of a block of queries, and what stands before each.

    A rank is one plus the number of items before: counting them costs less
    than sorting the gallery, of which only few places are asked for.

    Queries have different numbers of positives: a table of the largest
    number W, padded with inf, lets all of them be ranked at once.

    Args:
        scores (Tensor): Of the positives, of shape (P, ).
        rows (Tensor): Their queries, ascending, of shape (P, ), long.
        num_queries (int): B.
    """

    def __init__(
        self, scores: torch.Tensor, rows: torch.Tensor, num_queries: int
    ) -> None:
        self.counts = torch.bincount(rows, minlength=num_queries)  # (B, )
        width = max(1, int(self.counts.max()))
        slot = torch.arange(len(rows), device=rows.device)  # (P, )
        slot -= (self.counts.cumsum(0) - self.counts)[rows]  # 0, 1, ...
        table = scores.new_full((num_queries, width), torch.inf)  # (B, W)
        table[rows, slot] = scores
        self.scores = table.sort(dim=1).values  # ascending, then the padding
        self.before = torch.zeros_like(self.scores, dtype=torch.long)

    def count(self, scores: torch.Tensor, against: bool) -> None:
        """Count the items of a part of the gallery before each positive.

        Args:
            scores (Tensor): Of shape (B, n).
            against (bool): Whether equal scores count.
        """
        self.before += _count_before(scores, self.scores, against)  # (B, W)

    def ranks(
        self, gone: torch.Tensor, gone_rows: torch.Tensor, against: bool
    ) -> torch.Tensor:
        """Give the ranks once the whole gallery is counted.

        Args:
            gone (Tensor): Scores of excluded pairs, of shape (E, ).
            gone_rows (Tensor): Their queries, of shape (E, ), long.
            against (bool): Whether equal scores were counted.

        Returns:
            Tensor: Of shape (P, ), long, ascending by query.
        """
        positives, counts = self.scores, self.counts[:, None]
        beaten = positives[gone_rows]  # (E, W)
        gone = gone[:, None]  # (E, 1)
        gone = gone >= beaten if against else gone > beaten  # (E, W)
        before = self.before.index_add(0, gone_rows, gone.long(), alpha=-1)
        # What is counted has the positives in it, and equal ones all or none.
        # So take them out and put in their own order: of n positives, n -
        # below are counted and the one in place i comes as number n - i.
        below = torch.searchsorted(positives, positives, right=not against)
        below = torch.minimum(below, counts)  # (B, W), not the padding
        width = positives.shape[1]
        place = torch.arange(width, device=positives.device)  # (W, )
        ranks = before - (counts - below) + (counts - place)
        valid = (place < counts).flip(1)  # (B, W), the padding out
        return ranks.flip(1)[valid]  # (P, ), best first


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
