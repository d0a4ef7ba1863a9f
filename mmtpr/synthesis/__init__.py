"""Synthetic pedestrians: pictures and captions, procedurally."""

from .base import PedestrianGenerator
from .identities import LABEL_NAMES, VOCABULARY, Identity, sample_identities
from .layouts import PAIR_KINDS, cuhk_layout, mals_layout
from .vocabulary import write_vocabulary
from .world import ProceduralWorld
from .writer import ToySettings, draw_all, write_toy_data

__all__ = [
    'LABEL_NAMES',
    'PAIR_KINDS',
    'VOCABULARY',
    'Identity',
    'PedestrianGenerator',
    'ProceduralWorld',
    'ToySettings',
    'cuhk_layout',
    'draw_all',
    'mals_layout',
    'sample_identities',
    'write_toy_data',
    'write_vocabulary',
]
