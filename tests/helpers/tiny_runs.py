"""Every kind of config as a tiny run, for tests on devices."""

import json
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.engine import launch
from mmtpr.testing import shrink_config, write_tiny_data

KEYS = ('model', 'optim_wrapper', 'train_cfg', 'val_cfg', 'test_cfg')
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


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
    # Those of the data engine have no model.
    no_runs = {'_base_', 'synthesis'}
    paths = [p for p in CONFIGS.rglob('*.py') if not no_runs & {*p.parts}]
    for path in sorted(paths, key=str):
        if 'toy' not in path.stem:
            chosen.setdefault(signature(path, KEYS), path)
    return [*chosen.values()]


# Configs of scoring train nothing: see case_uses.py.
ALL = [path for path in different() if path.parent.name != 'filtering']


def small(path, data, work_dir, precision, device):
    """Shrink a config; it trains on ``data`` into ``work_dir``."""
    cfg = shrink_config(path, data)
    cfg.work_dir, cfg.load_from, cfg.visualizer = str(work_dir), None, None
    cfg.experiment_name = f'{path.stem}_{precision}'
    if cfg.default_hooks.get('finite_loss'):
        cfg.default_hooks.finite_loss.interval = 0
    if cfg.model.get('accumulate', 1) > 2:  # parts of one pair each
        cfg.model.accumulate = 2
    if 'head' in cfg.model:  # the branch that draws tokens
        cfg.model.head.max_tokens = 8
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset') or {}
        if dataset.get('type') == 'mmtpr.CachedFeatureDataset':
            cache = str(Path(data) / f'cache_{path.stem}')
            dataset.update(cache=cache, num_workers=0, device=device)
    if precision != 'float32':
        cfg.optim_wrapper.dtype = precision
        launch.enable_amp(cfg)
        launch.enable_test_amp(cfg)
    return cfg


def finite(runner):
    """Tell whether all losses of a run were finite."""
    scalars = runner.message_hub.log_scalars
    losses = {k: v for k, v in scalars.items() if 'loss' in k}
    assert losses
    return all(np.isfinite(v.data[0]).all() for v in losses.values())


def write_pairs(root):
    """Write 8 pairs: two steps of 4."""
    return write_tiny_data(root, num_ids=(4, 2, 3), captions_per_image=1)


def resumed(path, data, work_dir, precision, device):
    """Train an epoch more than the run in ``work_dir`` did."""
    cfg = small(path, data, work_dir, precision, device)
    cfg.train_cfg.max_epochs += 1
    cfg.load_from = str(next(Path(work_dir).glob('epoch_1.pth')))
    cfg.resume = True
    cfg.experiment_name += '_again'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner
