"""Relevance filtering: scoring pairs, score files and the keep rules."""

from mmtpr.structures.pairs import (
    dataset_fingerprint,
    pair_fingerprint,
    read_pairs,
)

from .bank import own_indices, read_captions, sample_bank
from .ranking import relevance_rank, relevance_score
from .rules import keep_mask
from .scores import RelevanceScores, load_scores, save_scores

__all__ = [
    'RelevanceScores',
    'dataset_fingerprint',
    'keep_mask',
    'load_scores',
    'own_indices',
    'pair_fingerprint',
    'read_captions',
    'read_pairs',
    'relevance_rank',
    'relevance_score',
    'sample_bank',
    'save_scores',
]
