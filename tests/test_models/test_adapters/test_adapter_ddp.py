"""Adapters under DistributedDataParallel, two processes with gloo."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name('adapter_ddp_worker.py')


def start(repo_root, out, **variables):
    environment = dict(os.environ, PYTHONPATH=str(repo_root), **variables)
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(out)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors


@pytest.mark.dist
def test_two_processes_give_the_gradients_of_one(repo_root, tmp_path):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    processes = [start(repo_root, tmp_path / 'one.pt')]
    processes += [
        start(
            repo_root,
            tmp_path / 'two.pt',
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE='2',
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    for process in processes:
        finish(process)
    one = torch.load(tmp_path / 'one.pt', weights_only=True)
    two = torch.load(tmp_path / 'two.pt', weights_only=True)
    assert list(one) == list(two)
    assert any(key.endswith('q.beta') for key in one)
    for key, expected in one.items():
        torch.testing.assert_close(
            two[key], expected, atol=1e-6, rtol=1e-4, msg=key
        )
