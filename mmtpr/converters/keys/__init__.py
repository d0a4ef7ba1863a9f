"""Key maps of released checkpoints, a file a family."""

from .clip import openai_map
from .irra import irra_map, loss_names, with_scale
from .rde import neck_name, rde_map, with_unused
from .swin import resize_windows, swin_map
from .word4per import export_stage2, import_stage2, tinet_map

__all__ = [
    'export_stage2',
    'import_stage2',
    'irra_map',
    'loss_names',
    'neck_name',
    'openai_map',
    'rde_map',
    'resize_windows',
    'swin_map',
    'tinet_map',
    'with_scale',
    'with_unused',
]
