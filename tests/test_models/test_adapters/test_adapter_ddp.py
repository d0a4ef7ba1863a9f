"""Adapters under DistributedDataParallel, two processes with gloo."""

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]

WORKER = ROOT / 'tests/helpers/adapter_ddp_worker.py'


@pytest.mark.dist
def test_two_processes_give_the_gradients_of_one(run_together, tmp_path):
    run_together(
        [WORKER, 0, 1, tmp_path],
        *([WORKER, rank, 2, tmp_path] for rank in range(2)),
    )
    one = torch.load(tmp_path / '1.pt', weights_only=True)
    two = torch.load(tmp_path / '2.pt', weights_only=True)
    assert list(one) == list(two)
    assert any(key.endswith('q.beta') for key in one)
    for key, expected in one.items():
        torch.testing.assert_close(
            two[key], expected, atol=1e-6, rtol=1e-4, msg=key
        )
