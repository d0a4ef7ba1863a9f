"""Triplets of composed retrieval, derived from captioned images."""

from .derive import derive_queries, derive_triplets
from .outfits import Outfit, read_outfit

__all__ = ['Outfit', 'derive_queries', 'derive_triplets', 'read_outfit']
