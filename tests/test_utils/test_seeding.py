import random

import numpy as np
import torch
from mmengine.registry import FUNCTIONS

from mmtpr.utils.seeding import derive_seed, seed_everything, seed_worker


def draw():
    return random.random(), np.random.rand(), float(torch.rand(()))


def test_every_number_counts():
    seeds = [
        derive_seed(s, e, r) for s in (0, 1) for e in (0, 1) for r in (0, 1)
    ]
    assert len(set(seeds)) == 8
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_all_generators_are_seeded():
    seed_everything(7)
    first = draw()
    assert draw() != first
    seed_everything(7)
    assert draw() == first


def test_workers_differ_and_call_on():
    called = []
    seed_worker(0, seed=5, then=called.append)
    first = draw()
    seed_worker(1, seed=5)
    assert called == [0]
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_as_worker_init_fn_of_a_config():
    function = FUNCTIONS.get('mmtpr.seed_worker')
    assert function is seed_worker
    torch.manual_seed(11)  # as torch does in a worker
    function(0)
    first = draw()
    torch.manual_seed(12)  # the next epoch
    function(0)
    assert all(a != b for a, b in zip(draw(), first, strict=True))
