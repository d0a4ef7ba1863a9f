"""Samplers."""

from .group_batch_sampler import GroupBatchSampler
from .identity_sampler import IdentitySampler
from .whole_batch_sampler import WholeBatchSampler

__all__ = ['GroupBatchSampler', 'IdentitySampler', 'WholeBatchSampler']
