"""LoRA+: the factor B of adapters learns faster."""

import copy

import pytest
import torch
from mmengine.optim import MultiStepLR, build_optim_wrapper
from torch import nn

from mmtpr.models.adapters import inject_adapters


def adapted(kind='LoRA'):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)
    )
    targets = [dict(type='[02]', convs=True)]
    if kind == 'OFT':
        targets = [dict(type='2', block_size=2)]
    options = {} if kind == 'OFT' else dict(rank=2)
    inject_adapters(model, dict(type=kind, **options), targets)
    return model


def wrapper_of(model, **paramwise):
    return build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='mmtpr.LoRAPlusOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
            paramwise_cfg=paramwise,
        ),
    )


def rates(model, wrapper):
    names = {id(p): n for n, p in model.named_parameters()}
    return {
        names[id(group['params'][0])]: (
            pytest.approx(group['lr']),
            group['weight_decay'],
        )
        for group in wrapper.optimizer.param_groups
    }


def test_ratio_on_top_of_the_other_options():
    model = adapted('WoRA')
    keys = {'lora_': dict(lr_mult=2.0), '3': dict(lr_mult=0.5)}
    found = rates(
        model, wrapper_of(model, lora_plus_ratio=4.0, custom_keys=keys)
    )
    for layer in '02':
        assert found[f'{layer}.lora_A'] == (2e-3, 0.1)
        assert found[f'{layer}.lora_B'] == (8e-3, 0.1)
        assert found[f'{layer}.magnitude'] == (1e-3, 0.0)
        assert found[f'{layer}.alpha'] == (1e-3, 0.0)
    assert found['3.weight'] == (5e-4, 0.1)
    assert found['3.bias'] == (5e-4, 0.0)


def test_the_default_is_that_of_the_paper():
    model = adapted()
    found = rates(model, wrapper_of(model, no_decay=['lora_B']))
    assert found['0.lora_B'] == (16e-3, 0.0)
    assert found['0.lora_A'] == (1e-3, 0.1)


def test_a_schedule_that_multiplies_and_resuming_keep_the_ratio():
    model = adapted()
    wrapper = wrapper_of(model)
    scheduler = MultiStepLR(wrapper.optimizer, [1], gamma=0.1)
    x = torch.randn(5, 2, 1, 1)

    def step(model, wrapper):
        wrapper.update_params(model(x).square().sum())

    step(model, wrapper)
    scheduler.step()
    assert rates(model, wrapper)['0.lora_B'][0] == 16e-4
    other = adapted()
    again = wrapper_of(other)
    other.load_state_dict(model.state_dict())
    again.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    assert rates(other, again) == rates(model, wrapper)
    step(model, wrapper)
    step(other, again)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bad_input():
    for ratio in (0.5, float('nan'), '16', True):
        with pytest.raises(ValueError, match='must be a number >= 1'):
            wrapper_of(adapted(), lora_plus_ratio=ratio)
    with pytest.raises(ValueError, match=r'trains no lora_B'):
        wrapper_of(adapted('OFT'))
