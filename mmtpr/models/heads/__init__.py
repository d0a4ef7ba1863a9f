"""Heads: losses on the features of composed retrieval."""

from .fafa_head import FAFAHead

__all__ = ['FAFAHead']
