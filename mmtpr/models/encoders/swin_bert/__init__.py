"""The encoder of APTM: a Swin, a BERT, and a BERT that reads images."""

from .encoder import SwinBertEncoder

__all__ = ['SwinBertEncoder']
