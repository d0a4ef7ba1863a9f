"""Hooks: safe and exact checkpoints, adapters, failed losses."""

from .adapter_checkpoint import AdapterCheckpointHook
from .adapter_gradient import AdapterGradientHook
from .adapter_stats import AdapterStatsHook
from .atomic_checkpoint import AtomicCheckpointHook
from .compile import CompileHook
from .cut_captions import CutCaptionsHook
from .epoch_length import EpochLengthHook
from .finite_loss import StopOnNonFiniteLossHook
from .pair_selection import PairSelectionHook
from .plain_checkpoint import PlainCheckpointHook
from .randomness import ReproducibleRandomnessHook
from .rate_ratio import RateRatioHook
from .resume_check import ResumeCheckHook
from .same_batches import SameBatchesHook
from .share_checkpoint import ShareCheckpointHook
from .strict_load import StrictLoadHook

__all__ = [
    'AdapterCheckpointHook',
    'AdapterGradientHook',
    'AdapterStatsHook',
    'AtomicCheckpointHook',
    'CompileHook',
    'CutCaptionsHook',
    'EpochLengthHook',
    'PairSelectionHook',
    'PlainCheckpointHook',
    'RateRatioHook',
    'ReproducibleRandomnessHook',
    'ResumeCheckHook',
    'SameBatchesHook',
    'ShareCheckpointHook',
    'StopOnNonFiniteLossHook',
    'StrictLoadHook',
]
