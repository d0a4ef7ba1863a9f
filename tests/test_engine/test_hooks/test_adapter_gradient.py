"""Adapters that training does not reach."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn
from toy_parts import DropoutRegression, toy_config

from mmtpr.engine import launch
from mmtpr.models.adapters import inject_adapters
from mmtpr.utils.errors import LaunchError

WORA = dict(type='WoRA', rank=2)


@MODELS.register_module()
class PartlyUsed(DropoutRegression):
    """A model that runs one of its layers never, and one below checkpoints."""

    def __init__(self, reentrant=None, **kwargs):
        super().__init__(**kwargs)
        self.decoder = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        inject_adapters(self, WORA, [dict(type=r'decoder\.\d')])
        if reentrant is not None:
            inject_adapters(self, WORA, [dict(type=r'net\.0')])
            forward = self.net[0].forward
            self.net[0].forward = lambda x: torch.utils.checkpoint.checkpoint(
                forward, x, use_reentrant=reentrant
            )


def run(tmp_path, model, hook):
    cfg = toy_config(tmp_path, model=model)
    cfg['custom_hooks'] = [hook]
    Runner.from_cfg(Config(cfg)).train()


HOOK = dict(type='mmtpr.AdapterGradientHook')


def test_layers_that_never_run_are_named(tmp_path):
    match = r'2 adapted layers got no gradient .*: decoder.0, decoder.1\. If'
    with pytest.raises(LaunchError, match=match):
        run(tmp_path, dict(type='PartlyUsed'), HOOK)
    assert not [*tmp_path.glob('*.pth')]


def test_it_may_be_meant(tmp_path):
    hook = dict(HOOK, allow=[r'decoder\..*'])
    run(tmp_path, dict(type='PartlyUsed'), hook)
    assert [*tmp_path.glob('epoch_*.pth')]


@pytest.mark.filterwarnings('ignore:None of the inputs')
def test_reentrant_checkpointing_over_frozen_layers(tmp_path):
    hook = dict(HOOK, allow=[r'decoder\..*'])
    model = dict(type='PartlyUsed', reentrant=True)
    with pytest.raises(LaunchError, match=r'net\.0\. .*use_reentrant=False'):
        run(tmp_path / 'a', model, hook)
    run(tmp_path / 'b', dict(model, reentrant=False), hook)


def test_all_is_well(tmp_path):
    model = dict(type='DropoutRegression', adapter=WORA)
    run(tmp_path / 'adapted', model, HOOK)
    run(tmp_path / 'plain', dict(type='DropoutRegression'), HOOK)


def test_tools_add_it_once():
    cfg = Config(dict(custom_hooks=[dict(type='EMAHook')]))
    launch.require_training_checks(cfg)
    launch.require_training_checks(cfg)
    types = [hook['type'] for hook in cfg.custom_hooks]
    names = ('ResumeCheckHook', 'EpochLengthHook')
    names += ('AdapterGradientHook', 'CutCaptionsHook', 'RateRatioHook')
    checks = [f'mmtpr.{name}' for name in names]
    assert types == ['EMAHook', *checks]
    cfg = Config(dict(custom_hooks=[dict(HOOK, allow=['a'])]))
    launch.require_training_checks(cfg)
    assert len(cfg.custom_hooks) == 5
