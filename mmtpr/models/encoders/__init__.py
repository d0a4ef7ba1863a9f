"""Encoders of pictures and captions."""

from .open_clip_encoder import OpenCLIPEncoder

__all__ = ['OpenCLIPEncoder']
