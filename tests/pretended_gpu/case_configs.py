"""Every config on a pretended GPU, tiny, through the ordinary runner.

Trains, validates, saves, resumes and tests in float32, bfloat16 and float16.
In a process of its own: see tests/test_testing/test_pretended_gpu.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.engine import launch
from mmtpr.models.losses import SDMLoss
from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.testing.pretended_gpu import (
    NAME,
    DeviceMismatchError,
    PretendedGPU,
    PretendedTensor,
)

KEYS = ('model', 'optim_wrapper', 'train_cfg', 'val_cfg', 'test_cfg')
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Waits of a step outside logging: the check of the loss.
BUDGET = 1


def parts(node):
    """Types of a config in order, without what only says which data."""
    if isinstance(node, dict):
        kind = str(node.get('type', '')).rpartition('.')[2]
        if kind and not kind.startswith(('Relevance', 'Repeat')):
            yield kind
        node = list(node.values())
    for value in node if isinstance(node, list | tuple) else ():
        yield from parts(value)


def signature(path, keys):
    """What a config composes, its data and sizes apart."""
    cfg = Config.fromfile(path)
    return json.dumps([[key, *parts(cfg.get(key) or {})] for key in keys])


def different():
    """One config of each kind; toys are the same parts at other sizes."""
    chosen = {}
    paths = [p for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts]
    for path in sorted(paths, key=str):
        if 'toy' not in path.stem:
            chosen.setdefault(signature(path, KEYS), path)
    return [*chosen.values()]


# Configs of scoring train nothing: see case_uses.py.
ALL = [path for path in different() if path.parent.name != 'filtering']


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    # 8 pairs: two steps of 4.
    return write_tiny_data(
        tmp_path_factory.mktemp('data'),
        num_ids=(4, 2, 3),
        captions_per_image=1,
    )


def small(path, data, work_dir, precision):
    cfg = shrink_config(path, data)
    cfg.work_dir, cfg.load_from, cfg.visualizer = str(work_dir), None, None
    cfg.experiment_name = f'{path.stem}_{precision}'
    if cfg.default_hooks.get('finite_loss'):
        cfg.default_hooks.finite_loss.interval = 0
    if 'head' in cfg.model:  # the branch that draws tokens
        cfg.model.head.max_tokens = 8
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset') or {}
        if dataset.get('type') == 'mmtpr.CachedFeatureDataset':
            cache = str(Path(data) / f'cache_{path.stem}')
            dataset.update(cache=cache, num_workers=0, device=NAME)
    if precision != 'float32':
        cfg.optim_wrapper.dtype = precision
        launch.enable_amp(cfg)
        launch.enable_test_amp(cfg)
    return cfg


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


def finite(runner):
    scalars = runner.message_hub.log_scalars
    losses = {k: v for k, v in scalars.items() if 'loss' in k}
    assert losses
    return all(np.isfinite(v.data[0]).all() for v in losses.values())


@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'float16'])
@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_config(path, precision, data, tmp_path):
    np.random.seed(0)
    torch.manual_seed(0)
    with PretendedGPU() as gpu:
        cfg = small(path, data, tmp_path, precision)
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
        again = small(path, data, tmp_path, precision)
        again.train_cfg.max_epochs += 1
        again.load_from = str(next(tmp_path.glob('epoch_1.pth')))
        again.resume = True
        again.experiment_name += '_again'
        resumed = Runner.from_cfg(again)
        resumed.train()
        assert resumed.iter == 2 * runner.iter
        assert finite(resumed)
        metrics = resumed.test()
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


PLANTED = CONFIGS / 'wora_cuhk.py'


def train_planted(monkeypatch, loss, precision, data, folder):
    monkeypatch.setattr(SDMLoss, 'loss', loss)
    with PretendedGPU() as gpu:
        runner = Runner.from_cfg(small(PLANTED, data, folder, precision))
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
