"""Synthetic pedestrians: images and captions, procedurally."""

from .base import PedestrianGenerator
from .changes import SAMPLE_SENTENCES
from .composed import itcpr_layout, syncpr_layout
from .composed_writer import ComposedSettings, write_composed_toy_data
from .identities import LABEL_NAMES, VOCABULARY, Identity, sample_identities
from .layouts import PAIR_KINDS, cuhk_layout, mals_layout
from .reword import reword
from .vocabulary import write_bert_vocabulary, write_vocabulary
from .world import ProceduralWorld
from .writer import ToySettings, draw_all, write_toy_data

__all__ = [
    'LABEL_NAMES',
    'PAIR_KINDS',
    'SAMPLE_SENTENCES',
    'VOCABULARY',
    'ComposedSettings',
    'Identity',
    'PedestrianGenerator',
    'ProceduralWorld',
    'ToySettings',
    'cuhk_layout',
    'draw_all',
    'itcpr_layout',
    'mals_layout',
    'reword',
    'sample_identities',
    'syncpr_layout',
    'write_bert_vocabulary',
    'write_composed_toy_data',
    'write_toy_data',
    'write_vocabulary',
]
