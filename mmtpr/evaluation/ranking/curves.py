"""Curves over all queries: CMC, and precision against recall."""

import torch
from torch import Tensor

from .ranking import Ranking


def cmc_curve(first_ranks: Tensor, max_rank: int = 50) -> Tensor:
    """Compute R@k for every k, the cumulative matching characteristic.

    Args:
        first_ranks (Tensor): Rank from 1 of the first positive of each query
            in the whole gallery, NaN for a query without positives, which is
            left out; of shape (Q, ), see :meth:`Ranking.per_query`.
        max_rank (int): Greatest k. Defaults to 50.

    Returns:
        Tensor: R@1 to R@max_rank in percent, of shape (max_rank, ), float64.

    Raises:
        ValueError: If no query has a positive, or ``max_rank`` is below 1.

    Examples:
        >>> cmc_curve(torch.tensor([1.0, 3.0, torch.nan]), 3).tolist()
        [50.0, 50.0, 100.0]
    """
    if max_rank < 1:
        raise ValueError(f'max_rank must be at least 1, got {max_rank}.')
    first = first_ranks[~first_ranks.isnan()]  # (Q', )
    if ((first < 1) | (first != first.floor())).any():
        raise ValueError('Ranks must be whole numbers from 1 on.')
    first = first.clamp(max=max_rank + 1).long()
    if not len(first):
        raise ValueError('No query has a positive: there is no curve.')
    behind = max_rank + 1
    counts = torch.bincount(first.clamp(max=behind), minlength=behind + 1)
    return 100 * counts[1:behind].cumsum(0).double() / len(first)


def precision_recall_curve(
    ranking: Ranking, num_levels: int = 100
) -> tuple[Tensor, Tensor]:
    """Average the queries' precision at equal recall.

    To find a share of its n positives, a query has to go down to the rank of
    the i-th, where i is the first number that makes up this share; precision
    there is i over that rank. Nothing is interpolated, so that the area below
    the curve of a query is its AP, as the metrics have it, and the area below
    the mean of all is mAP, up to the distance of the levels.

    Args:
        ranking (Ranking): Ranks of all positives of all queries. Those
            without positives are left out.
        num_levels (int): Number of levels of recall. Defaults to 100.

    Returns:
        tuple[Tensor, Tensor]: Levels of recall and mean precision in
        percent, of shape (num_levels, ), float64.

    Raises:
        ValueError: If no query has a positive, or ``num_levels`` is below 1.
    """
    if num_levels < 1:
        raise ValueError(f'num_levels must be at least 1, got {num_levels}.')
    counts = torch.bincount(ranking.rows, minlength=ranking.num_queries)
    start = (counts.cumsum(0) - counts)[counts > 0, None]  # (Q', 1)
    counts = counts[counts > 0, None]
    if not len(counts):
        raise ValueError('No query has a positive: there is no curve.')
    level = torch.arange(1, num_levels + 1, device=counts.device)  # (J, )
    # The least i with i / n >= j / J, in whole numbers.
    order = -(-(level * counts) // num_levels)  # (Q', J)
    ranks = ranking.ranks[start + order - 1]
    precision = (order.double() / ranks).mean(0)  # (J, )
    return 100 * level.double() / num_levels, 100 * precision
