"""Files of weights: reading them, what they are of, and what fits."""

from .families import FAMILIES, Family, expect, identify
from .fit import Fit
from .read import Checkpoint, read_checkpoint

__all__ = [
    'FAMILIES',
    'Checkpoint',
    'Family',
    'Fit',
    'expect',
    'identify',
    'read_checkpoint',
]
