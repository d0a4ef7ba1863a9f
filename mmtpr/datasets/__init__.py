"""Datasets, their transforms and samplers."""

from . import samplers, transforms
from .checks.joined_persons import ConcatDataset
from .cuhk_pedes import CUHKPEDES
from .feature_cache import CachedFeatureDataset
from .icfg_pedes import ICFGPEDES
from .itcpr import ITCPR
from .mals import MALS
from .pa100k import PA100K
from .pair_selection import (
    ConsensusDivision,
    PairSelector,
    ScoreSelector,
    SelectedPairsDataset,
)
from .reassigned_dataset import ReassignedDataset
from .relevance_filter import RelevanceFilteredDataset
from .rstp_reid import RSTPReid
from .syn_cpr import SynCPR
from .text_person_dataset import TextPersonDataset
from .triplet_filter import TripletFilteredDataset

__all__ = [
    'CUHKPEDES',
    'ICFGPEDES',
    'ITCPR',
    'MALS',
    'PA100K',
    'CachedFeatureDataset',
    'ConcatDataset',
    'ConsensusDivision',
    'PairSelector',
    'RSTPReid',
    'ReassignedDataset',
    'RelevanceFilteredDataset',
    'ScoreSelector',
    'SelectedPairsDataset',
    'SynCPR',
    'TextPersonDataset',
    'TripletFilteredDataset',
    'samplers',
    'transforms',
]
