"""Files of weights: reading them, what they are of, and what fits."""

from mmtpr.utils.compat import allow_mmengine_checkpoints

from .families import FAMILIES, Family, expect, identify
from .fit import Fit
from .read import Checkpoint, read_checkpoint

allow_mmengine_checkpoints()

__all__ = [
    'FAMILIES',
    'Checkpoint',
    'Family',
    'Fit',
    'expect',
    'identify',
    'read_checkpoint',
]
