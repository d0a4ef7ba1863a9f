"""Random state as a function of a few numbers."""

import random
from collections.abc import Callable

import numpy as np
import torch


def derive_seed(*numbers: int) -> int:
    """Mix non-negative numbers into one seed of 32 bits.

    Args:
        *numbers (int): E.g. seed, epoch and rank. Neighbouring numbers give
            unrelated seeds.

    Returns:
        int: In ``[0, 2**32)``.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch on all devices.

    Args:
        seed (int): In ``[0, 2**32)``.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_worker(
    worker_id: int,
    seed: int | None = None,
    then: Callable[[int], None] | None = None,
) -> None:
    """Seed a data-loader worker anew in every epoch.

    mmengine's own ``worker_init_fn`` seeds workers alike in every epoch. In a
    config: ``worker_init_fn=dict(type='mmtpr.seed_worker')``;
    ``ReproducibleRandomnessHook`` puts it in place by itself.

    Args:
        worker_id (int): Number of the worker.
        seed (int, optional): Seed of the epoch and the process. By default
            the one that torch drew for this epoch in the main process.
        then (Callable, optional): Another ``worker_init_fn``, called after.
    """
    if seed is None:
        seed = torch.initial_seed()
    seed_everything(derive_seed(seed, worker_id))
    if then is not None:
        then(worker_id)
