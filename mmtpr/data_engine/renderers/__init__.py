"""Renderers of pairs: the procedural world, text to image, editing."""

from .base import Pair, PairRenderer, RenderRequest
from .diffusers_renderer import DiffusersRenderer
from .diffusion import DiffusionModel
from .editing_renderer import EditingRenderer
from .procedural_renderer import ProceduralRenderer

__all__ = [
    'DiffusersRenderer',
    'DiffusionModel',
    'EditingRenderer',
    'Pair',
    'PairRenderer',
    'ProceduralRenderer',
    'RenderRequest',
]
