"""Every config on a pretended GPU, tiny, through the ordinary runner.

Trains, validates and saves in float32, bfloat16 and float16; resumes and
tests in bfloat16, and one config in all.
In a process of its own: see tests/test_testing/test_pretended_gpu.
"""

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from tiny_runs import ALL, CONFIGS, finite, resumed, small, write_pairs

from mmtpr.models.losses import SDMLoss
from mmtpr.testing.pretended_gpu import (
    NAME,
    DeviceMismatchError,
    PretendedGPU,
    PretendedTensor,
)

# Waits of a step; the hook that checks the loss adds one where it looks.
BUDGET = 0
#: Precision in which all configs are resumed and tested too.
WHOLE = 'bfloat16'
PLANTED = CONFIGS / 'wora_cuhk.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('data'))


def counted(runner, gpu):
    """Count the waits of each training step."""
    step, waits = runner.model.train_step, []

    def train_step(*args, **kwargs):
        gpu.reset()
        out = step(*args, **kwargs)
        waits.append(gpu.waits())
        return out

    runner.model.train_step = train_step
    return waits


# The scaler of float16; the norm of gradients, which is logged; an answer of
# the step before, which CUDA has copied long before it is read.
NO_WAITS = ('grad_scaler', 'optimizer_wrapper.py', 'adapters/cancellation.py')


def of_others(place):
    """No wait of a step."""
    return any(name in place for name in NO_WAITS)


@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'float16'])
@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_config(path, precision, data, tmp_path):
    np.random.seed(0)
    torch.manual_seed(0)
    with PretendedGPU() as gpu:
        cfg = small(path, data, tmp_path, precision, NAME)
        runner = Runner.from_cfg(cfg)
        parameters = [*runner.model.parameters()]
        assert all(isinstance(p, PretendedTensor) for p in parameters)
        if not any(p.requires_grad for p in parameters):
            pytest.skip('trains nothing')
        waits = counted(runner, gpu)
        runner.train()
        assert finite(runner)
        assert len(waits) >= 2
        own = {k: n for k, n in waits[-1].items() if not of_others(k)}
        assert sum(own.values()) <= BUDGET, own
        if precision != WHOLE and path != PLANTED:
            return
        again = resumed(path, data, tmp_path, precision, NAME)
        assert again.iter == 2 * runner.iter
        assert finite(again)
        metrics = again.test()
    assert metrics
    assert all(np.isfinite(value) for value in metrics.values())


def meets_the_cpu(self, features):
    """A tensor that was made on the CPU."""
    weights = torch.ones(len(features.pids))
    return (features.image_feats.float().sum(1) * weights).sum()


def asks_the_device(self, features):
    """A number that is read in every step."""
    loss = features.image_feats.float().sum()
    return loss * (1.0 if loss.item() > 0 else 2.0)


def overflows(self, features):
    """Products that float16 cannot hold."""
    large = 300 * torch.ones_like(features.image_feats)
    return (large @ large.t()).float().mean()


def train_planted(monkeypatch, loss, precision, data, folder):
    monkeypatch.setattr(SDMLoss, 'loss', loss)
    with PretendedGPU() as gpu:
        runner = Runner.from_cfg(small(PLANTED, data, folder, precision, NAME))
        waits = counted(runner, gpu)
        runner.train()
    return runner, waits


def test_a_planted_tensor_of_the_cpu_is_found(monkeypatch, data, tmp_path):
    with pytest.raises(DeviceMismatchError):
        train_planted(monkeypatch, meets_the_cpu, 'float32', data, tmp_path)


def test_a_planted_question_to_the_device_is_found(
    monkeypatch, data, tmp_path
):
    _, waits = train_planted(
        monkeypatch, asks_the_device, 'float32', data, tmp_path
    )
    (place,) = [k for k in waits[-1] if not of_others(k)]
    assert 'case_configs.py' in place


def test_a_planted_overflow_is_found(monkeypatch, data, tmp_path):
    runner, _ = train_planted(
        monkeypatch, overflows, 'bfloat16', data, tmp_path / 'bf16'
    )
    assert finite(runner)
    runner, _ = train_planted(
        monkeypatch, overflows, 'float16', data, tmp_path / 'fp16'
    )
    assert not finite(runner)
