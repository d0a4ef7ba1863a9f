"""Galleries that are kept on disk, changed and searched."""

from .faiss_store import FaissStore
from .identity import ModelIdentity
from .qdrant_store import QdrantStore
from .store import GalleryStore, Hits
from .where_clause import WhereError, parse_where

__all__ = [
    'FaissStore',
    'GalleryStore',
    'Hits',
    'ModelIdentity',
    'QdrantStore',
    'WhereError',
    'parse_where',
]
