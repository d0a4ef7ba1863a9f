"""Small encoders, small data and shrunk configs for tests and benchmarks."""

from .configs import shrink_config, tiny_retriever_cfg
from .launches import LaunchCounter
from .tiny_blip2 import tiny_blip2_cfg, write_tiny_vocab
from .tiny_clip import tiny_clip_cfg, tiny_encoder_cfg
from .tiny_cross_model import TinyCrossModel
from .tiny_data import write_tiny_cuhk, write_tiny_data
from .tiny_swin_bert import tiny_swin_bert_cfg
from .uneven_kernels import disturb_kernels, disturb_rows

__all__ = [
    'LaunchCounter',
    'TinyCrossModel',
    'disturb_kernels',
    'disturb_rows',
    'shrink_config',
    'tiny_blip2_cfg',
    'tiny_clip_cfg',
    'tiny_encoder_cfg',
    'tiny_retriever_cfg',
    'tiny_swin_bert_cfg',
    'write_tiny_cuhk',
    'write_tiny_data',
    'write_tiny_vocab',
]
