"""One adapted linear layer: merging, saving, copying and moving."""

import copy

import pytest
import torch
from adapter_cases import KINDS, definition, make
from torch import nn
from torch.nn import functional as F

from mmtpr.models.adapters import WoRALinear


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_merge_and_exact_unmerge(kind, options):
    layer = make(kind, options, shape=(48, 40), dtype=torch.float32)
    original = layer.linear.weight.clone()
    x = torch.randn(9, 48)
    before = layer(x)
    layer.merge()
    layer.merge()
    assert layer.merged
    torch.testing.assert_close(layer(x), before, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.linear.weight, layer.merged_weight())
    assert not torch.equal(layer.linear.weight, original)
    layer.unmerge()
    layer.unmerge()
    assert torch.equal(layer.linear.weight, original)
    assert torch.equal(layer(x), before)


def test_state_dict_of_a_merged_layer_is_the_unmerged_one():
    layer = make(WoRALinear)
    before = copy.deepcopy(layer.state_dict())
    layer.merge()
    state = layer.state_dict()
    assert list(state) == list(before)
    assert all(torch.equal(state[k], before[k]) for k in before)
    layer.load_state_dict(before)
    assert not layer.merged
    assert torch.equal(layer.linear.weight, before['linear.weight'])


def test_cached_norm_follows_loaded_weights():
    layer, other = make(WoRALinear), make(WoRALinear)
    with torch.no_grad():
        other.linear.weight.mul_(3).add_(0.1)
    x = torch.randn(4, 7, dtype=torch.float64)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(x), other(x))
    assert not any('norm' in key for key in layer.state_dict())
    # The inner layer alone, in place, and as another parameter.
    for change in (
        lambda w: layer.linear.load_state_dict(
            dict(w, weight=w['weight'] * 2)
        ),
        lambda w: layer.linear.weight.copy_(w['weight'] - 1),
        lambda w: layer.linear.load_state_dict(
            {k: v + 1 for k, v in w.items()}, assign=True
        ),
    ):
        with torch.no_grad():
            change(
                {k: v.clone() for k, v in layer.linear.state_dict().items()}
            )
        expected = F.linear(x, definition(layer), layer.bias)
        torch.testing.assert_close(layer(x), expected)


def test_double_state_dict_round_trip_and_deepcopy():
    layer = make(WoRALinear)
    x = torch.randn(4, 7, dtype=torch.float64)
    clone = copy.deepcopy(layer)
    second = WoRALinear(nn.Linear(7, 5, dtype=torch.float64), rank=3)
    second.load_state_dict(layer.state_dict())
    third = WoRALinear(nn.Linear(7, 5, dtype=torch.float64), rank=3)
    third.load_state_dict(second.state_dict())
    for copied in (clone, second, third):
        assert torch.equal(copied(x), layer(x))
    with torch.no_grad():
        clone.lora_B.add_(1)
    clone.merge()
    assert not torch.allclose(clone(x), layer(x))
    assert not layer.merged


def test_moving_to_another_type_renews_the_norm():
    layer = make(WoRALinear, shape=(30, 20), dtype=torch.float32)
    x = torch.randn(3, 30, dtype=torch.float64)
    expected = F.linear(x, layer.merged_weight().double(), layer.bias.double())
    torch.testing.assert_close(
        layer.double()(x), expected, atol=1e-5, rtol=1e-5
    )
    assert layer.scale().dtype == torch.float64
    assert layer.bfloat16().scale().dtype == torch.float32
