"""Metrics for mmengine's evaluator."""

from .person_retrieval_metric import PersonRetrievalMetric
from .ranking_file import read_ranking

__all__ = ['PersonRetrievalMetric', 'read_ranking']
