"""Ranking numbers and the metrics over them."""

from .feature_ranking import rank_features, rank_queries
from .matching import check_missing
from .metrics import (
    ComposedRetrievalMetric,
    PersonRetrievalMetric,
    read_ranking,
)
from .ranking import (
    Ranking,
    rank_metrics,
    ranked_lists,
    ranks_of_positives,
)
from .similarity import similarity_blocks, topk_similarity

__all__ = [
    'ComposedRetrievalMetric',
    'PersonRetrievalMetric',
    'Ranking',
    'check_missing',
    'rank_features',
    'rank_metrics',
    'rank_queries',
    'ranked_lists',
    'ranks_of_positives',
    'read_ranking',
    'similarity_blocks',
    'topk_similarity',
]
