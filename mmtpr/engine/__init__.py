"""Hooks of the runner. The stock loops do retrieval."""

from .hooks import (
    AdapterCheckpointHook,
    AdapterStatsHook,
    AtomicCheckpointHook,
    PlainCheckpointHook,
    ReproducibleRandomnessHook,
    StopOnNonFiniteLossHook,
)

__all__ = [
    'AdapterCheckpointHook',
    'AdapterStatsHook',
    'AtomicCheckpointHook',
    'PlainCheckpointHook',
    'ReproducibleRandomnessHook',
    'StopOnNonFiniteLossHook',
]
