"""Ranking numbers and the metrics over them."""

from .attributes import (
    attribute_metrics,
    balanced_accuracy,
    decide_by_prompts,
)
from .metrics import (
    AttributeMetric,
    ComposedRetrievalMetric,
    PersonRetrievalMetric,
    RerankedRetrievalMetric,
    ScoreMatrix,
    read_ranking,
    read_score_matrix,
)
from .ranking import (
    Ranking,
    check_missing,
    cmc_curve,
    precision_recall_curve,
    rank_features,
    rank_metrics,
    rank_queries,
    ranked_lists,
    ranks_of_positives,
)
from .reranking import (
    FusedScores,
    Fusion,
    PairScorer,
    rank_reranked,
    top_candidates,
)
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
    'ScoreMatrix',
    'attribute_metrics',
    'balanced_accuracy',
    'check_missing',
    'cmc_curve',
    'decide_by_prompts',
    'precision_recall_curve',
    'rank_features',
    'rank_metrics',
    'rank_queries',
    'rank_reranked',
    'ranked_lists',
    'ranks_of_positives',
    'read_ranking',
    'read_score_matrix',
    'similarity_blocks',
    'top_candidates',
    'topk_similarity',
]
