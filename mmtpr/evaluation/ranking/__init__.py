"""Ranks of the right answers, counted without sorting, and their numbers."""

from .curves import cmc_curve, precision_recall_curve
from .from_features import rank_features, rank_queries
from .matches import check_missing
from .ranking import (
    Ranking,
    rank_metrics,
    ranked_lists,
    ranks_of_positives,
)

__all__ = [
    'Ranking',
    'check_missing',
    'cmc_curve',
    'precision_recall_curve',
    'rank_features',
    'rank_metrics',
    'rank_queries',
    'ranked_lists',
    'ranks_of_positives',
]
