"""Retrievers: encoders with losses and prediction."""

from .gather import gather_features
from .text_person_retriever import TextPersonRetriever

__all__ = ['TextPersonRetriever', 'gather_features']
