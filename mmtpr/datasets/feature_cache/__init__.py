"""Features of a frozen encoder, kept on disk."""

from .dataset import CachedFeatureDataset
from .encode import PairEncoder
from .store import CacheWriter, FeatureCache, read_cache

__all__ = [
    'CacheWriter',
    'CachedFeatureDataset',
    'FeatureCache',
    'PairEncoder',
    'read_cache',
]
