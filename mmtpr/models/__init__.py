"""Models: encoders, adapters, necks, losses and retrievers."""

from . import adapters, encoders, heads, losses, necks, retrievers
from .data_preprocessor import RetrievalDataPreprocessor

__all__ = [
    'RetrievalDataPreprocessor',
    'adapters',
    'encoders',
    'heads',
    'losses',
    'necks',
    'retrievers',
]
