"""Gathered features: two processes compute what one would."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name('gather_worker.py')


def _reference():
    spec = importlib.util.spec_from_file_location('gather_worker', WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return worker.both()


def _launch(repo_root, out, processes):
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        port = probe.getsockname()[1]
    path = f'{repo_root}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    common = dict(
        PYTHONPATH=path,
        OMP_NUM_THREADS='1',
        MASTER_ADDR='localhost',
        MASTER_PORT=str(port),
        WORLD_SIZE=str(processes),
    )
    running = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(out)],
            env={**os.environ, **common, 'RANK': str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        for process in running:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    finally:
        for process in running:
            process.kill()
    return torch.load(out, weights_only=True)


@pytest.mark.dist
def test_gradients_of_two_processes_equal_those_of_one(repo_root, tmp_path):
    one = _reference()
    two = _launch(repo_root, tmp_path / 'two.pt', 2)
    wanted, got = one['gathered'], two['gathered']
    assert wanted.keys() == got.keys()
    assert 'logit_scale' in wanted
    assert 'losses.id.classifier.weight' in wanted
    for name in wanted:
        if name == 'loss_id':
            continue  # the mean over ranks is the loss of the whole batch
        scale = wanted[name].abs().max().item()
        torch.testing.assert_close(
            got[name], wanted[name], atol=1e-5 * max(scale, 1e-2), rtol=1e-4
        )
    # Without gathering each process sees fewer pairs: another gradient.
    torch.testing.assert_close(one['local'], one['gathered'])
    name = 'encoder.clip.visual.proj'
    gap = (two['local'][name] - wanted[name]).abs().max()
    assert gap > 0.05 * wanted[name].abs().max()
