"""Metrics for mmengine's evaluator."""

from .composed_retrieval_metric import ComposedRetrievalMetric
from .person_retrieval_metric import PersonRetrievalMetric
from .ranking_file import read_ranking

__all__ = [
    'ComposedRetrievalMetric',
    'PersonRetrievalMetric',
    'read_ranking',
]
