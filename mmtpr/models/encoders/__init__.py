"""Encoders of pictures and captions."""

from .blip2_encoder import BLIP2Encoder
from .open_clip_encoder import OpenCLIPEncoder
from .swin_bert_encoder import SwinBertEncoder

__all__ = ['BLIP2Encoder', 'OpenCLIPEncoder', 'SwinBertEncoder']
