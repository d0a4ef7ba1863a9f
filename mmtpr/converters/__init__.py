"""Checkpoints of others in mmtpr's layout and back: pure key maps."""

from .keymap import Converted, KeyMap, Rule, prefixed, same_names
from .keys import (
    export_stage2,
    import_stage2,
    irra_map,
    loss_names,
    neck_name,
    openai_map,
    rde_map,
    resize_windows,
    swin_map,
    tinet_map,
    with_scale,
    with_unused,
)

__all__ = [
    'Converted',
    'KeyMap',
    'Rule',
    'export_stage2',
    'import_stage2',
    'irra_map',
    'loss_names',
    'neck_name',
    'openai_map',
    'prefixed',
    'rde_map',
    'resize_windows',
    'same_names',
    'swin_map',
    'tinet_map',
    'with_scale',
    'with_unused',
]
