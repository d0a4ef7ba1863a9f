"""A feature cache that one of two processes makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmtpr.testing import write_tiny_cuhk

WORKER = Path(__file__).with_name('cached_features_worker.py')


@pytest.fixture
def run(repo_root, tmp_path):
    def start(case):
        write_tiny_cuhk(tmp_path / 'data', num_ids=(2, 1, 1))
        paths = dict(PYTHONPATH=str(repo_root), OMP_NUM_THREADS='1')
        processes = [
            subprocess.Popen(
                [sys.executable, WORKER, str(rank), tmp_path, case],
                env={**os.environ, **paths},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        for process in processes:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output[-3000:]
        return [
            json.loads((tmp_path / f'{rank}.json').read_text())
            for rank in range(2)
        ]

    return start


@pytest.mark.dist
def test_encoding_may_take_longer_than_the_group_waits(run):
    one, two = run('shared')
    assert one == two
    assert one['length'] == 8


@pytest.mark.dist
def test_a_node_that_does_not_see_the_cache_says_so(run, tmp_path):
    one, two = run('unshared')
    assert one['length'] == 8
    assert two['error'].startswith(
        f'FileNotFoundError: The feature cache "{tmp_path}/cache1" was made on'
    )
    assert two['error'].endswith('with cache that all nodes share.')


@pytest.mark.dist
def test_all_learn_of_a_failure(run, tmp_path):
    one, two = run('fails')
    assert one['error'].startswith('ValueError: The pipeline of Cached')
    assert (
        two['error']
        == f'RuntimeError: The main process failed: {one["error"]}'
    )
    assert not (tmp_path / 'cache').exists()
