"""Ranking numbers and the metrics over them."""

from .attributes import (
    attribute_metrics,
    balanced_accuracy,
    decide_by_prompts,
)
from .feature_ranking import rank_features, rank_queries
from .matching import check_missing
from .metrics import (
    AttributeMetric,
    ComposedRetrievalMetric,
    PersonRetrievalMetric,
    RerankedRetrievalMetric,
    read_ranking,
)
from .pair_scoring import PairScorer
from .ranking import (
    Ranking,
    rank_metrics,
    ranked_lists,
    ranks_of_positives,
)
from .reranking import FusedScores, Fusion, rank_reranked, top_candidates
from .similarity import similarity_blocks, topk_similarity

__all__ = [
    'AttributeMetric',
    'ComposedRetrievalMetric',
    'FusedScores',
    'Fusion',
    'PairScorer',
    'PersonRetrievalMetric',
    'Ranking',
    'RerankedRetrievalMetric',
    'attribute_metrics',
    'balanced_accuracy',
    'check_missing',
    'decide_by_prompts',
    'rank_features',
    'rank_metrics',
    'rank_queries',
    'rank_reranked',
    'ranked_lists',
    'ranks_of_positives',
    'read_ranking',
    'similarity_blocks',
    'top_candidates',
    'topk_similarity',
]
