"""Schedules that do not keep the ratio of LoRA+."""

import logging

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from toy_parts import toy_config

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
