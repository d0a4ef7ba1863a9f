"""APTM's schedules and rates, composed of mmengine's parts."""

from pathlib import Path

import mmengine.optim  # noqa: F401, registers schedulers
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = ROOT / 'configs/_base_/schedules'


def rates(name: str, per_epoch: int) -> list[float]:
    """Learning rates of all iterations, over that of the optimizer."""
    cfg = Config.fromfile(SCHEDULES / name)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    by_epoch, by_iter = [], []
    for part in cfg.param_scheduler:
        part = dict(part)
        if part.pop('convert_to_iter_based', False):
            scheduler = PARAM_SCHEDULERS.get(
                part.pop('type')
            ).build_iter_from_epoch(
                optimizer=optimizer, epoch_length=per_epoch, **part
            )
            by_iter.append(scheduler)
        else:
            part['optimizer'] = optimizer
            by_epoch.append(PARAM_SCHEDULERS.build(part))
    found = []
    for _ in range(cfg.train_cfg.max_epochs):
        for _ in range(per_epoch):
            found.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            for scheduler in by_iter:
                scheduler.step()
        for scheduler in by_epoch:
            scheduler.step()
    return found


def published(step: int, total: int, warmup: int, steps: bool) -> float:
    """The release's factor of the learning rate."""
    if step < warmup:
        return step / warmup
    factor = 1.0
    if steps and step >= 4 * warmup:
        factor = 0.5 if step < 7 * warmup else 0.2
    return factor * (total - step) / (total - warmup)


@pytest.mark.parametrize(
    ('name', 'pairs'), [('aptm_mals', 1510330), ('wora_aptm_mals', 1190000)]
)
def test_warmup_is_2600_iterations_of_what_is_left(name, pairs):
    cfg = Config.fromfile(ROOT / f'configs/{name}.py')
    per_epoch = pairs / (8 * cfg.train_dataloader.batch_size)
    warm, decay = cfg.param_scheduler
    assert warm.end == decay.begin
    assert warm.end * per_epoch == pytest.approx(2600)
    assert decay.end == cfg.train_cfg.max_epochs == 32


@pytest.mark.parametrize(
    ('name', 'epochs', 'warmup', 'steps'),
    [
        ('adamw_30e_aptm.py', 30, 3, True),
        ('adamw_32e_aptm.py', 32, 2600 * 1200 / 1510330, False),
    ],
)
def test_rates_are_the_published_ones(name, epochs, warmup, steps):
    per_epoch = 50
    found = rates(name, per_epoch)
    total, warm = epochs * per_epoch, int(warmup * per_epoch)
    assert len(found) == total
    # Ours begins above zero and ends its warm-up and decay one step earlier.
    for step in range(total):
        wanted = published(step, total, warm, steps)
        assert abs(found[step] - wanted) < 0.012, step
    assert max(found) == pytest.approx(1.0, abs=0.01)
