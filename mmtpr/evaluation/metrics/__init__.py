"""Metrics for mmengine's evaluator."""

from .attribute_metric import AttributeMetric
from .composed_retrieval_metric import ComposedRetrievalMetric
from .gathered_metric import GatheredMetric
from .person_retrieval_metric import PersonRetrievalMetric
from .ranking_file import read_ranking
from .reranked_retrieval_metric import RerankedRetrievalMetric
from .score_matrix_file import ScoreMatrix, read_score_matrix

__all__ = [
    'AttributeMetric',
    'ComposedRetrievalMetric',
    'GatheredMetric',
    'PersonRetrievalMetric',
    'RerankedRetrievalMetric',
    'ScoreMatrix',
    'read_ranking',
    'read_score_matrix',
]
