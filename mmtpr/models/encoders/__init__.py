"""Encoders of images and captions."""

from .blip2 import BLIP2Encoder
from .open_clip import OpenCLIPEncoder
from .swin_bert import SwinBertEncoder

__all__ = ['BLIP2Encoder', 'OpenCLIPEncoder', 'SwinBertEncoder']
