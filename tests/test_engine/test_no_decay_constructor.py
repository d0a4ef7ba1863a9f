"""Rates by name, no decay by kind."""

import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmtpr.models.adapters import inject_adapters


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(6, 4)
        self.stage = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.other = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.out = nn.Linear(4, 6)
        self.out.weight = self.words.weight
        self.temperature = nn.Parameter(torch.tensor(0.07))


def groups_of(model, **paramwise):
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='mmtpr.NoDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
            paramwise_cfg=dict(
                custom_keys=dict(stage=dict(lr_mult=2.0)), **paramwise
            ),
        ),
    )
    names = {id(p): n for n, p in model.named_parameters()}
    return {
        names[id(group['params'][0])]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
    }


def test_rates_and_decay_are_independent():
    found = groups_of(Model())
    assert found == {
        'words.weight': (1e-3, 0.1),
        'stage.0.weight': (2e-3, 0.1),
        'stage.0.bias': (2e-3, 0.0),
        'stage.1.weight': (2e-3, 0.0),
        'stage.1.bias': (2e-3, 0.0),
        'other.0.weight': (1e-3, 0.1),
        'other.0.bias': (1e-3, 0.0),
        'other.1.weight': (1e-3, 0.0),
        'other.1.bias': (1e-3, 0.0),
        'out.bias': (1e-3, 0.0),
        'temperature': (1e-3, 0.0),
    }


def test_adapters_in_a_part_with_a_rate_of_its_own():
    model = Model()
    inject_adapters(model, dict(type='WoRA', rank=2), [dict(type='stage.0')])
    found = groups_of(model)
    name = 'stage.0'
    assert found[f'{name}.lora_A'] == (2e-3, 0.1)
    for key in ('magnitude', 'alpha', 'beta'):
        assert found[f'{name}.{key}'] == (2e-3, 0.0)
    assert f'{name}.linear.weight' not in found


def test_other_names_can_be_given():
    found = groups_of(Model(), no_decay=['weight'])
    assert found['words.weight'] == (1e-3, 0.0)
    assert found['temperature'] == (1e-3, 0.1)
