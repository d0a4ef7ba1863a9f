"""Rules that turn ranks and scores into a choice of pairs."""

import numpy as np

from mmtpr.utils.numbers import is_number


def check_rules(
    max_rank: int | None = None,
    keep_ratio: float | None = None,
    min_score: float | None = None,
) -> None:
    """Check the arguments of :func:`keep_mask` before there are scores.

    Args:
        max_rank (int, optional): See :func:`keep_mask`.
        keep_ratio (float, optional): See :func:`keep_mask`.
        min_score (float, optional): See :func:`keep_mask`.

    Raises:
        ValueError: If no rule is given, or one is out of its range.
    """
    if max_rank is None and keep_ratio is None and min_score is None:
        raise ValueError(
            'Relevance filtering needs a rule: give at least one of '
            'max_rank, keep_ratio and min_score.'
        )
    if max_rank is not None and not (
        is_number(max_rank) and max_rank >= 1 and max_rank == int(max_rank)
    ):
        raise ValueError(
            f'max_rank must be a whole number from 1 on, got {max_rank!r}.'
        )
    if keep_ratio is not None and not (
        is_number(keep_ratio) and 0 < keep_ratio <= 1
    ):
        raise ValueError(
            f'keep_ratio must be above 0 and at most 1, got {keep_ratio!r}.'
        )
    if min_score is not None and not is_number(min_score):
        raise ValueError(
            f'min_score must be a finite number, got {min_score!r}.'
        )


def keep_mask(
    ranks: np.ndarray,
    scores: np.ndarray,
    max_rank: int | None = None,
    keep_ratio: float | None = None,
    min_score: float | None = None,
) -> np.ndarray:
    """Choose pairs by rank, by share or by score.

    A pair must satisfy every rule given. Pairs without a finite score (their
    image could not be read) are never kept.

    Args:
        ranks (np.ndarray): Ranks, (N, ), 1 = best.
        scores (np.ndarray): Relevances, (N, ).
        max_rank (int, optional): Keep ranks up to this one.
        keep_ratio (float, optional): Keep this share of all N pairs, the
            best by rank, then by score, then by position. At least one pair.
        min_score (float, optional): Keep relevances from this one on.

    Returns:
        np.ndarray: Whether each pair is kept, (N, ), bool.

    Raises:
        ValueError: If no rule is given, or one is out of its range.

    Examples:
        >>> keep_mask(np.array([3, 1, 2]), np.array([0.1, 0.4, 0.2]), 2)
        array([False,  True,  True])
    """
    check_rules(max_rank, keep_ratio, min_score)
    ranks, scores = np.asarray(ranks), np.asarray(scores)
    keep = np.isfinite(scores)
    if max_rank is not None:
        keep &= ranks <= max_rank
    if min_score is not None:
        keep &= scores >= min_score
    if keep_ratio is not None:
        count = max(1, int(len(ranks) * keep_ratio + 0.5))
        best = np.zeros(len(ranks), dtype=bool)
        best[np.lexsort((-scores, ranks))[:count]] = True
        keep &= best
    return keep
