"""Every config on a pretended GPU, tiny, through the ordinary runner.

Trains, validates, saves, resumes and tests in float32, bfloat16 and float16.
In a process of its own: see tests/test_testing/test_pretended_gpu.
"""

import collections
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.engine import launch
from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.testing.pretended_gpu import NAME, PretendedGPU, PretendedTensor

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


def signature(path):
    """What a config composes, its data and sizes apart."""
    cfg = Config.fromfile(path)
    keys = ('model', 'optim_wrapper', 'train_cfg', 'val_cfg', 'test_cfg')
    found = [[key, *parts(cfg.get(key) or {})] for key in keys]
    loader = cfg.get('train_dataloader') or {}
    dataset = loader.get('dataset') or {}
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    found.append([*parts(dataset.get('pipeline', []))])
    return json.dumps(found)


def different():
    """One config of each kind; toy ones only where no other is like them."""
    groups = collections.defaultdict(list)
    paths = [p for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts]
    for path in sorted(paths, key=lambda p: ('toy' in p.parts, str(p))):
        groups[signature(path)].append(path)
    return [group[0] for group in groups.values()]


def of_toys(path):
    return 'toy' in path.parts


ALL = [path for path in different() if not of_toys(path)]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_tiny_data(tmp_path_factory.mktemp('data'), num_ids=(6, 2, 3))


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


def of_others(place):
    """The scaler of float16, and the norm of gradients that is logged."""
    return any(x in place for x in ('grad_scaler', 'optimizer_wrapper.py'))


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
        if not cfg.get('train_dataloader') or 'blip2_relevance' in path.stem:
            pytest.skip('scores alone: see case_uses.py')
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
