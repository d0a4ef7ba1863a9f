"""Necks: what stands between an encoder and losses or evaluation."""

from .features import QueryFeatures, TargetFeatures
from .pseudo_word_query import EncoderQuery, PseudoWordQuery, fuse_features
from .targets import EncoderTarget, PatchTokens, PooledTarget, patch_grid
from .tinet import TINet
from .token_noise import TokenStatisticsNoise

__all__ = [
    'EncoderQuery',
    'EncoderTarget',
    'PatchTokens',
    'PooledTarget',
    'PseudoWordQuery',
    'QueryFeatures',
    'TINet',
    'TargetFeatures',
    'TokenStatisticsNoise',
    'fuse_features',
    'patch_grid',
]
