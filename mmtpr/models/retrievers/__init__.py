"""Retrievers: encoders with losses and prediction."""

from .blip2_scorer import BLIP2Scorer
from .composed_person_retriever import ComposedPersonRetriever
from .cross_modal_person_retriever import CrossModalPersonRetriever
from .embeddings import join_embeddings
from .gather import gather_features
from .pair_losses import pair_losses
from .text_person_retriever import TextPersonRetriever

__all__ = [
    'BLIP2Scorer',
    'ComposedPersonRetriever',
    'CrossModalPersonRetriever',
    'TextPersonRetriever',
    'gather_features',
    'join_embeddings',
    'pair_losses',
]
