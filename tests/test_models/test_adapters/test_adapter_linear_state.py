"""One adapted linear layer: merging, saving, copying and moving."""

import copy

import pytest
import torch
from adapter_cases import KINDS, definition, make
from mmengine.runner.checkpoint import load_state_dict
from torch import nn
from torch.nn import functional as F

from mmtpr.checkpoints.coverage import lacking_trained
from mmtpr.checkpoints.fit import Fit
from mmtpr.models.adapters import (
    LoRALinear,
    WoRALinear,
    adapter_state_dict,
    inject_adapters,
    load_adapter_state_dict,
)
from mmtpr.utils.fingerprint import weights_fingerprint


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
    assert not any('sqnorm' in key for key in layer.state_dict())
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


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_no_parameter_is_without_dimension(kind, options):
    """FSDP refuses such."""
    layer = make(kind, options)
    assert all(p.dim() for p in layer.parameters())
    trains = kind is WoRALinear
    assert isinstance(layer.alpha, nn.Parameter) == trains
    assert ('alpha' in dict(layer.named_buffers())) == (not trains)


@pytest.mark.parametrize('shape', [(), (1,)])
@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_numbers_of_a_former_version_load(kind, options, shape):
    layer, other = make(kind, options), make(kind, options)
    with torch.no_grad():
        layer.alpha.fill_(2.5)
    state = {
        key: value.reshape(shape) if value.numel() == 1 else value
        for key, value in layer.state_dict().items()
    }
    before = {key: value.shape for key, value in state.items()}
    assert Fit.of(state, other.state_dict()).whole
    keys = other.load_state_dict(state)
    assert keys == ([], [])
    assert other.alpha.item() == 2.5
    assert other.alpha.shape == layer.alpha.shape
    assert {key: value.shape for key, value in state.items()} == before
    third = make(kind, options)
    del state['linear.weight'], state['linear.bias']
    load_adapter_state_dict(third, state)
    assert third.alpha.item() == 2.5
    with pytest.raises(RuntimeError, match='of another shape: alpha'):
        load_adapter_state_dict(third, dict(state, alpha=torch.ones(2)))


def test_a_checkpoint_of_a_former_version_loads_without_a_line(caplog):
    net = nn.Sequential(make(WoRALinear))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    for name in ('0.alpha', '0.beta'):
        state[name] = state[name].reshape(()) + 1
    other = nn.Sequential(make(WoRALinear))
    load_state_dict(other, state, strict=False)
    assert other[0].beta.item() == pytest.approx(1.8)
    assert not caplog.records


@pytest.mark.parametrize(('kind', 'options'), KINDS)
@pytest.mark.parametrize('thin', [False, True])
def test_buffers_written_before_the_backward_pass(kind, options, thin):
    """DDP does so with two forward passes."""
    layer = make(kind, options)
    if thin and kind is not LoRALinear:
        with torch.no_grad():
            low = layer.alpha * layer.lora_B @ layer.lora_A / layer.beta
            layer.linear.weight[:, 0] = -low[:, 0] * 1.01
            layer.linear.weight[0] = -low[0] * 1.01
    y = layer(torch.randn(3, 7, dtype=torch.float64))
    with torch.no_grad():
        for buffer in layer.buffers():
            buffer.copy_(buffer.clone())
    y.sum().backward()
    assert layer.lora_A.grad.isfinite().all()


def square(layer, norm_dim, kind='WoRA'):
    torch.manual_seed(0)
    nn.init.normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    model = nn.Sequential(layer)
    options = dict(type=kind, rank=2, norm_dim=norm_dim)
    inject_adapters(model, options, [dict(type='0')])
    nn.init.normal_(model[0].lora_B)
    return model


@pytest.mark.parametrize('kind', ['WoRA', 'DoRA'])
@pytest.mark.parametrize('make_layer', [nn.Linear, nn.Conv2d])
@pytest.mark.parametrize('sides', [('in', 'out'), ('out', 'in')])
def test_a_file_of_the_other_norm_dim_is_refused(kind, make_layer, sides):
    shape = (8, 8) if make_layer is nn.Linear else (8, 8, 3)
    mine, theirs = (square(make_layer(*shape), s, kind) for s in sides)
    before = {k: v.clone() for k, v in mine.state_dict().items()}
    message = (
        f'norm_dim of "0" is {sides[1]!r} in the file and {sides[0]!r} in '
        'the model; set the option norm_dim'
    )
    with pytest.raises(RuntimeError, match=message):
        load_adapter_state_dict(mine, adapter_state_dict(theirs))
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=message):
            mine.load_state_dict(theirs.state_dict(), strict)
    with pytest.raises(RuntimeError, match='norm_dim of'):  # a bare layer
        mine[0].load_state_dict(theirs[0].state_dict())
    after = mine.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize('norm_dim', ['in', 'out'])
def test_files_without_norm_rows_load(norm_dim, caplog):
    """Those of former versions."""
    model = square(nn.Linear(8, 8), norm_dim)
    old = {k: v for k, v in model.state_dict().items() if 'rows' not in k}
    assert len(old) == len(model.state_dict()) - 1
    others = [square(nn.Linear(8, 8), norm_dim) for _ in range(3)]
    for other in others:
        nn.init.zeros_(other[0].lora_B)
    assert Fit.of(old, model.state_dict()).whole
    assert not lacking_trained(model, old, {})
    assert others[0].load_state_dict(old) == ([], [])
    load_state_dict(others[1], old, strict=False)
    assert not caplog.records
    alone = {k: v for k, v in old.items() if 'linear' not in k}
    load_adapter_state_dict(others[2], alone)
    x = torch.randn(3, 8)
    for other in others:
        assert torch.equal(other(x), model(x))
        assert other[0].norm_rows.item() == (norm_dim == 'out')


def test_norm_rows_change_no_fingerprint():
    """Stores and caches of former versions stay those of the model."""
    model = square(nn.Linear(8, 8), 'out')
    whole = weights_fingerprint(model)
    del model[0].norm_rows
    assert weights_fingerprint(model) == whole
    nn.init.zeros_(model[0].lora_B)
    assert weights_fingerprint(model) != whole
