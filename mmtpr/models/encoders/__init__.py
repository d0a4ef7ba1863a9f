"""Encoders of pictures and captions."""

from .blip2_encoder import BLIP2Encoder
from .open_clip_encoder import OpenCLIPEncoder

__all__ = ['BLIP2Encoder', 'OpenCLIPEncoder']
