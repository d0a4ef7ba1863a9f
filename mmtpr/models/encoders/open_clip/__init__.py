"""The encoder of open_clip's models: two towers of CLIP."""

from .encoder import OpenCLIPEncoder

__all__ = ['OpenCLIPEncoder']
