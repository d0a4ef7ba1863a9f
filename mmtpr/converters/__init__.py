"""Checkpoints of others in mmtpr's layout and back: pure key maps."""

from .clip import irra_map, loss_names, openai_map, with_scale
from .families import FAMILIES, Family, expect, identify
from .files import Checkpoint, read_checkpoint
from .fit import check_fit
from .keymap import Converted, KeyMap, Rule, prefixed, same_names
from .swin import resize_windows, swin_map
from .word4per import export_stage2, import_stage2, tinet_map

__all__ = [
    'FAMILIES',
    'Checkpoint',
    'Converted',
    'Family',
    'KeyMap',
    'Rule',
    'check_fit',
    'expect',
    'export_stage2',
    'identify',
    'import_stage2',
    'irra_map',
    'loss_names',
    'openai_map',
    'prefixed',
    'read_checkpoint',
    'resize_windows',
    'same_names',
    'swin_map',
    'tinet_map',
    'with_scale',
]
