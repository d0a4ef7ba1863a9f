"""Schedules that do not keep the ratio of LoRA+."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import (
    OneCycleLR,
    OptimWrapper,
    OptimWrapperDict,
    build_optim_wrapper,
)
from mmengine.runner import Runner
from torch import nn
from toy_parts import toy_config

from mmtpr.engine.hooks import RateRatioHook
from mmtpr.models.adapters import AdapterModel
from mmtpr.utils.errors import LaunchError

PLUS = 'mmtpr.LoRAPlusOptimWrapperConstructor'
NO_DECAY = 'mmtpr.NoDecayOptimWrapperConstructor'
COSINE = dict(type='CosineAnnealingLR', T_max=3)


def run(tmp_path, scheduler, ratio=16.0, constructor=PLUS):
    """Train; the rates of A and B at the end."""
    adapter = dict(type='LoRA', rank=2)
    model = dict(type='DropoutRegression', adapter=adapter)
    cfg = toy_config(tmp_path, model=model)
    cfg['custom_hooks'] = [dict(type='mmtpr.RateRatioHook')]
    cfg['param_scheduler'] = [scheduler]
    paramwise = {} if constructor != PLUS else dict(lora_plus_ratio=ratio)
    cfg['optim_wrapper'] = dict(
        constructor=constructor,
        optimizer=dict(type='SGD', lr=1e-3),
        paramwise_cfg=paramwise,
    )
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    names = {id(p): n for n, p in runner.model.named_parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    rates = {names[id(g['params'][0])]: g['lr'] for g in groups}
    return rates['net.0.lora_A'], rates['net.0.lora_B']


@pytest.fixture
def warned(caplog):
    """Warnings of the hook."""
    yield lambda: [r for r in caplog.records if 'shrinks to 1' in r.message]
    MMLogger._instance_dict.clear()
    logging.getLogger('mmengine').handlers.clear()


def test_one_cycle_stops(tmp_path, warned):
    cycle = dict(type='OneCycleLR', eta_max=0.01, total_steps=3)
    with pytest.raises(LaunchError, match=r'eta_max=0\.01, so .*ratio=16 wou'):
        run(tmp_path / 'a', cycle)
    assert not [*tmp_path.glob('a/*.pth')]
    # Without the plus there is nothing to lose.
    run(tmp_path / 'b', cycle, ratio=1)
    run(tmp_path / 'c', cycle, constructor=NO_DECAY)


@pytest.mark.parametrize(
    'scheduler',
    [dict(COSINE, eta_min=1e-4), dict(type='PolyLR', eta_min=1e-4, end=3)],
)
def test_an_absolute_end_warns(tmp_path, scheduler, capsys, warned):
    a, b = run(tmp_path, scheduler)
    assert b / a < 16
    text = capsys.readouterr().out
    kind = scheduler['type']
    assert f'{kind} ends at the rate 0.0001 for all parameters' in text


@pytest.mark.parametrize(
    'scheduler',
    [
        dict(COSINE, eta_min_ratio=0.1),
        dict(type='MultiStepLR', milestones=[1]),
        dict(type='CosineAnnealingMomentum', T_max=3, eta_min=0.1),
    ],
)
def test_others_keep_the_ratio(tmp_path, scheduler, capsys, warned):
    a, b = run(tmp_path, scheduler)
    assert b / a == pytest.approx(16)
    assert 'shrinks to 1' not in capsys.readouterr().out


@pytest.mark.parametrize('by_name', [True, False])
def test_of_several_optimizers_each_is_looked_at(by_name):
    encoder = AdapterModel(
        nn.Sequential(nn.Linear(4, 4)),
        dict(type='LoRA', rank=2),
        [dict(type='0')],
    )
    plus = build_optim_wrapper(
        encoder, dict(constructor=PLUS, optimizer=dict(type='SGD', lr=1e-3))
    )
    head = OptimWrapper(torch.optim.SGD(nn.Linear(4, 2).parameters(), lr=1))
    wrappers = OptimWrapperDict(head=head, encoder=plus)

    def look(head_cycle, encoder_cycle):
        given = dict(encoder=encoder_cycle)
        if head_cycle:  # in a dict of schedules a name may be absent
            given['head'] = head_cycle
        if not by_name:
            given = [*head_cycle, *encoder_cycle]
        runner = SimpleNamespace(
            optim_wrapper=wrappers, param_schedulers=given
        )
        RateRatioHook().before_train(runner)

    look([], [])
    cycle = [OneCycleLR(plus, eta_max=0.01, total_steps=3)]
    if by_name:  # the head has no ratio to lose
        look([OneCycleLR(head, eta_max=0.01, total_steps=3)], [])
    with pytest.raises(LaunchError, match=r'eta_max=0\.01, so .*ratio=16 wou'):
        look([], cycle)
