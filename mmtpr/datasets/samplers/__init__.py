"""Samplers."""

from .group_batch_sampler import GroupBatchSampler
from .identity_sampler import IdentitySampler

__all__ = ['GroupBatchSampler', 'IdentitySampler']
