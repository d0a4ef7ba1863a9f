"""Frozen weights that were written without torch noticing."""

import logging

import pytest
import torch
from adapter_cases import definition, make
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mmtpr.models.adapters import (
    AdapterModel,
    DoRALinear,
    LoRALinear,
    WoRALinear,
    merge_adapters,
    renew_stale_norms,
)


def by_data(layer):
    layer.linear.weight.data.mul_(3)


def by_numpy(layer):
    layer.linear.weight.detach().numpy()[:, 0] += 2


def by_vector(layer):
    own = [layer.linear.weight]
    vector_to_parameters(parameters_to_vector(own) * 0.5, own)


WAYS = [by_data, by_numpy, by_vector]


@pytest.fixture
def lines(monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmtpr.models.adapters.stale.print_log',
        lambda line, logger, level: told.append((level, line)),
    )
    return told


def adapted():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(7, 7), nn.ReLU(), nn.Linear(7, 5))
    model = AdapterModel(module, dict(type='WoRA', rank=2), [dict(type='2')])
    with torch.no_grad():
        model.module[2].lora_B.normal_()
    return model


def wanted(model, x):
    layer = model.module[2]
    hidden = torch.relu(model.module[0](x))
    return F.linear(hidden, definition(layer), layer.linear.bias)


@pytest.mark.parametrize('write', WAYS)
@pytest.mark.parametrize('call', ['train', 'eval', 'state_dict'])
def test_norms_are_renewed_with_a_warning(write, call, lines):
    model, x = adapted(), torch.randn(3, 7)
    write(model.module[2])
    assert not model.module[2].has_current_norm()
    getattr(model, call)()
    assert model.module[2].has_current_norm()
    torch.testing.assert_close(model(x), wanted(model, x))
    ((level, line),) = lines
    assert level == logging.WARNING
    assert 'frozen weights of 1 adapted layers were written' in line
    assert 'such as 2.' in line


@pytest.mark.parametrize('write', WAYS)
def test_merging_uses_the_norm_of_now(write, lines):
    model, x = adapted(), torch.randn(3, 7)
    write(model.module[2])
    expected = wanted(model, x)
    merge_adapters(model)
    torch.testing.assert_close(model(x), expected)
    assert len(lines) == 1


@pytest.mark.parametrize('kind', [DoRALinear, WoRALinear])
@pytest.mark.parametrize('norm_dim', ['in', 'out'])
def test_what_torch_notices_needs_no_line(kind, norm_dim, lines):
    layer = make(kind, dict(norm_dim=norm_dim))
    with torch.no_grad():
        layer.linear.weight.mul_(2)
    layer(torch.randn(2, 7, dtype=torch.float64))
    model = nn.Sequential(layer.float(), make(LoRALinear))
    assert renew_stale_norms(model) == []
    layer.merge()
    assert renew_stale_norms(model) == []
    assert lines == []


def test_the_first_call_after_injection_says_nothing(lines):
    model = adapted()
    model.train().eval().state_dict()
    assert lines == []
