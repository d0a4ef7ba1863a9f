"""Retrievers: encoders with losses and prediction."""

from .blip2_scorer import BLIP2Scorer
from .composed_person_retriever import ComposedPersonRetriever
from .gather import gather_features
from .text_person_retriever import TextPersonRetriever

__all__ = [
    'BLIP2Scorer',
    'ComposedPersonRetriever',
    'TextPersonRetriever',
    'gather_features',
]
