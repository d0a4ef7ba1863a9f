"""Hooks of the runner, and loops where the stock ones do not suffice."""

from .hooks import (
    AdapterCheckpointHook,
    AdapterStatsHook,
    AtomicCheckpointHook,
    PlainCheckpointHook,
    ReproducibleRandomnessHook,
    StopOnNonFiniteLossHook,
)
from .loops import (
    AttributeTestLoop,
    AttributeValLoop,
    RerankTestLoop,
    RerankValLoop,
)

__all__ = [
    'AdapterCheckpointHook',
    'AdapterStatsHook',
    'AtomicCheckpointHook',
    'AttributeTestLoop',
    'AttributeValLoop',
    'PlainCheckpointHook',
    'ReproducibleRandomnessHook',
    'RerankTestLoop',
    'RerankValLoop',
    'StopOnNonFiniteLossHook',
]
