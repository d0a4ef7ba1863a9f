"""Hooks, and loops and optimizers where the stock ones do not suffice."""

from .fully_sharded import FullyShardedDataParallel
from .hooks import (
    AdapterCheckpointHook,
    AdapterStatsHook,
    AtomicCheckpointHook,
    CompileHook,
    CutCaptionsHook,
    PairSelectionHook,
    PlainCheckpointHook,
    RateRatioHook,
    ReproducibleRandomnessHook,
    ResumeCheckHook,
    SameBatchesHook,
    ShareCheckpointHook,
    StopOnNonFiniteLossHook,
    StrictLoadHook,
)
from .loops import (
    AttributeTestLoop,
    AttributeValLoop,
    RerankTestLoop,
    RerankValLoop,
)
from .lora_plus_constructor import LoRAPlusOptimWrapperConstructor
from .no_decay_constructor import NoDecayOptimWrapperConstructor

__all__ = [
    'AdapterCheckpointHook',
    'AdapterStatsHook',
    'AtomicCheckpointHook',
    'AttributeTestLoop',
    'AttributeValLoop',
    'CompileHook',
    'CutCaptionsHook',
    'FullyShardedDataParallel',
    'LoRAPlusOptimWrapperConstructor',
    'NoDecayOptimWrapperConstructor',
    'PairSelectionHook',
    'PlainCheckpointHook',
    'RateRatioHook',
    'ReproducibleRandomnessHook',
    'RerankTestLoop',
    'RerankValLoop',
    'ResumeCheckHook',
    'SameBatchesHook',
    'ShareCheckpointHook',
    'StopOnNonFiniteLossHook',
    'StrictLoadHook',
]
