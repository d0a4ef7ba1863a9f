"""Loops with an evaluation stage of their own."""

from .attribute_loops import AttributeTestLoop, AttributeValLoop
from .rerank_loops import RerankTestLoop, RerankValLoop

__all__ = [
    'AttributeTestLoop',
    'AttributeValLoop',
    'RerankTestLoop',
    'RerankValLoop',
]
