"""The encoder of BLIP-2: a ViT and a Q-Former."""

from .encoder import BLIP2Encoder

__all__ = ['BLIP2Encoder']
