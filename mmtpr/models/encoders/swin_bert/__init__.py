"""The encoder of APTM: a Swin, a BERT, and a BERT that reads pictures."""

from .encoder import SwinBertEncoder

__all__ = ['SwinBertEncoder']
