"""Metrics for mmengine's evaluator."""

from .person_retrieval_metric import PersonRetrievalMetric

__all__ = ['PersonRetrievalMetric']
