"""Checkpoints of others in mmtpr's layout and back: pure key maps."""

from .clip import irra_map, loss_names, openai_map, with_scale
from .keymap import Converted, KeyMap, Rule, prefixed, same_names
from .swin import resize_windows, swin_map
from .word4per import export_stage2, import_stage2, tinet_map

__all__ = [
    'Converted',
    'KeyMap',
    'Rule',
    'export_stage2',
    'import_stage2',
    'irra_map',
    'loss_names',
    'openai_map',
    'prefixed',
    'resize_windows',
    'same_names',
    'swin_map',
    'tinet_map',
    'with_scale',
]
