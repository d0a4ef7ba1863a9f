"""Every kind of config on a real GPU, tiny, and processes that share one."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from tiny_runs import ALL, CONFIGS, finite, resumed, small, write_pairs

pytestmark = pytest.mark.gpu


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('data'))


@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_config(path, data, tmp_path):
    """Two steps in bfloat16, validation, resumption, test."""
    runner = Runner.from_cfg(small(path, data, tmp_path, 'bfloat16', 'cuda'))
    parameters = [*runner.model.parameters()]
    assert all(p.is_cuda for p in parameters)
    if not any(p.requires_grad for p in parameters):
        pytest.skip('trains nothing')
    runner.train()
    assert finite(runner)
    again = resumed(path, data, tmp_path, 'bfloat16', 'cuda')
    assert again.iter == 2 * runner.iter
    assert finite(again)
    metrics = again.test()
    assert all(np.isfinite(value) for value in metrics.values())


def trained(data, folder, processes, repo_root, *options):
    """Run tools/train.py on the shrunk WoRA config by torchrun."""
    cfg = small(CONFIGS / 'wora_cuhk.py', data, folder, 'float32', 'cuda')
    cfg.model.gather = True
    cfg.dump(folder / 'config.py')
    command = [
        *(sys.executable, '-m', 'torch.distributed.run', '--standalone'),
        *('--nproc-per-node', str(processes)),
        *(str(repo_root / 'tools/train.py'), str(folder / 'config.py')),
        *('--launcher', 'pytorch', *options),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=dict(os.environ, PYTHONPATH=str(repo_root)),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (folder / 'epoch_1.pth').is_file()


@pytest.mark.dist
def test_ddp_over_one_process_with_nccl(data, tmp_path, repo_root):
    trained(data, tmp_path, 1, repo_root, '--amp')


@pytest.mark.dist
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two GPUs')
def test_ddp_over_all_gpus(data, tmp_path, repo_root):
    trained(data, tmp_path, min(4, torch.cuda.device_count()), repo_root)
