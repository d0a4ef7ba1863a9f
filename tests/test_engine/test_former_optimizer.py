"""States of optimizers of versions with parameters without dimension."""

import copy
from functools import partial

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmtpr.engine.former_optimizer import update_optimizer_state
from mmtpr.models.adapters import DoRALinear, LoRALinear, WoRALinear


def former(layer):
    """A layer as it was: numbers without dimension, all of them parameters."""
    names = [n for n in ('alpha', 'beta') if hasattr(layer, n)]
    magnitude = layer._parameters.pop('magnitude', None)
    for name in names:
        value = getattr(layer, name).detach().reshape(())
        delattr(layer, name)
        trains = name in layer.trained
        setattr(layer, name, nn.Parameter(value.clone(), trains))
    if magnitude is not None:
        layer._parameters['magnitude'] = magnitude
    return layer


def model(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), kind(nn.Linear(5, 3), rank=2))
    net.scale = nn.Parameter(torch.ones(()))  # a number that stays as it is
    return net


def build(net, by_name):
    cfg = dict(optimizer=dict(type='AdamW', lr=0.1))
    if by_name:
        cfg['paramwise_cfg'] = dict(custom_keys={'.magnitude': {}})
    return build_optim_wrapper(net, cfg)


def step(net, wrapper):
    y = net(torch.arange(8.0).view(2, 4)) * net.scale
    wrapper.update_params(y.square().mean())


@pytest.mark.parametrize('by_name', [False, True])
@pytest.mark.parametrize(
    'kind', [WoRALinear, LoRALinear, partial(DoRALinear, norm_dim='out')]
)
def test_a_run_goes_on_as_if_nothing_had_changed(kind, by_name):
    new, old = model(kind), model(kind)
    former(old[1])
    wrappers = [build(net, by_name) for net in (new, old)]
    for net, wrapper in zip((new, old), wrappers, strict=True):
        step(net, wrapper)
    state = copy.deepcopy(wrappers[1].state_dict())
    resumed = model(kind)
    wrapper = build(resumed, by_name)
    resumed.load_state_dict(old.state_dict())
    number = update_optimizer_state(state, resumed, wrapper.optimizer)
    # mmengine lists what does not train only where it asks for no names.
    assert (number > 0) == (kind is WoRALinear or not by_name)
    assert update_optimizer_state(state, resumed, wrapper.optimizer) == 0
    wrapper.load_state_dict(state)
    step(resumed, wrapper)
    step(new, wrappers[0])
    wanted = new.state_dict()
    for key, value in resumed.state_dict().items():
        torch.testing.assert_close(value, wanted[key], msg=key)


def test_another_models_state_stays():
    old = build(nn.Linear(3, 2), False).state_dict()
    before = copy.deepcopy(old)
    net = model(WoRALinear)
    assert update_optimizer_state(old, net, build(net, True).optimizer) == 0
    assert old == before
