"""Relevance filtering: scoring pairs, score files and the keep rules."""

from mmtpr.structures.pairs import (
    dataset_fingerprint,
    pair_fingerprint,
    read_pairs,
)

from .bank import own_indices, read_captions, sample_bank
from .field_rule import FieldTerm, parse_rule, rule_mask
from .joining import join_scores, positions
from .ranking import relevance_rank, relevance_score
from .rules import keep_mask
from .scores import RelevanceScores, load_scores, save_scores
from .triplet_scores import (
    TripletScores,
    load_triplet_scores,
    save_triplet_scores,
)

__all__ = [
    'FieldTerm',
    'RelevanceScores',
    'TripletScores',
    'dataset_fingerprint',
    'join_scores',
    'keep_mask',
    'load_scores',
    'load_triplet_scores',
    'own_indices',
    'pair_fingerprint',
    'parse_rule',
    'positions',
    'read_captions',
    'read_pairs',
    'relevance_rank',
    'relevance_score',
    'rule_mask',
    'sample_bank',
    'save_scores',
    'save_triplet_scores',
]
