"""Renderers of pairs: the procedural world, text to image, editing."""

from .base import Pair, PairRenderer, RenderRequest
from .procedural_renderer import ProceduralRenderer

__all__ = [
    'Pair',
    'PairRenderer',
    'ProceduralRenderer',
    'RenderRequest',
]
