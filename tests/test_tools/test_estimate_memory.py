"""The table of the memory that training takes."""

import os
import subprocess
import sys

import pytest

from mmtpr.testing import shrink_config, write_tiny_data

device = pytest.importorskip('mmtpr.testing.pretended_gpu')
if not device.is_available():
    pytest.skip(
        'this torch cannot be told of a pretended GPU', allow_module_level=True
    )


@pytest.fixture
def run_tool(repo_root):
    def run(*words):
        tool = repo_root / 'tools/analysis/estimate_memory.py'
        return subprocess.run(
            [sys.executable, tool, *map(str, words)],
            env=dict(os.environ, PYTHONPATH=str(repo_root)),
            cwd=repo_root,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_table(repo_root, run_tool, tmp_path):
    cfg = shrink_config(
        repo_root / 'configs/wora_cuhk.py', write_tiny_data(tmp_path / 'data')
    )
    cfg.dump(tmp_path / 'small.py')
    done = run_tool(
        *(tmp_path / 'small.py', '--batch-size', 16),
        *('--cfg-options', 'model.accumulate=4'),
    )
    assert done.returncode == 0, done.stderr
    title, head, *rows = done.stdout.strip().splitlines()[-6:]
    assert title.endswith('small.py: 16 samples a GPU in 4 parts, GiB')
    assert head.split()[:2] == ['computes', 'checkpointing']
    assert [row.split()[:2] for row in rows] == [
        ['float32', 'off'],
        ['float32', 'on'],
        ['bfloat16', 'off'],
        ['bfloat16', 'on'],
    ]
    assert all(row.endswith('16 GB') for row in rows)


def test_mistakes_end_in_a_sentence(run_tool):
    done = run_tool('configs/filtering/blip2_relevance_cuhk.py')
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert 'The config trains nothing' in done.stderr
    done = run_tool('configs/no_such_config.py')
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
