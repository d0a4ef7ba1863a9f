"""Files of weights: reading them, what they are of, and what fits."""

from .families import FAMILIES, Family, expect, identify
from .fit import check_fit
from .read import Checkpoint, read_checkpoint

__all__ = [
    'FAMILIES',
    'Checkpoint',
    'Family',
    'check_fit',
    'expect',
    'identify',
    'read_checkpoint',
]
