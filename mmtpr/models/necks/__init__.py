"""Necks: what stands between an encoder and losses or evaluation."""

from .features import QueryFeatures, TargetFeatures
from .pseudo_word_query import EncoderQuery, PseudoWordQuery, fuse_features
from .targets import EncoderTarget, PatchTokens, PooledTarget, patch_grid
from .tinet import TINet
from .token_noise import TokenStatisticsNoise
from .token_selection import (
    Attended,
    SelectedTokens,
    TokenSelection,
    select_patches,
    select_words,
)

__all__ = [
    'Attended',
    'EncoderQuery',
    'EncoderTarget',
    'PatchTokens',
    'PooledTarget',
    'PseudoWordQuery',
    'QueryFeatures',
    'SelectedTokens',
    'TINet',
    'TargetFeatures',
    'TokenSelection',
    'TokenStatisticsNoise',
    'fuse_features',
    'patch_grid',
    'select_patches',
    'select_words',
]
