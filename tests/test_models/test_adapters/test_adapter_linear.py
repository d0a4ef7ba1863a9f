"""One adapted linear layer: mathematics and gradients."""

import numpy as np
import pytest
import torch
from adapter_cases import KINDS, NORMED, definition, make, trained
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from mmtpr.models.adapters import DoRALinear, LoRALinear, WoRALinear


@pytest.mark.parametrize('case', ['a', 'b'])
def test_parity_outputs_and_all_gradients(parity_file, case):
    data = np.load(parity_file(f'wora_linear_{case}.npz'))
    data = {key: torch.from_numpy(data[key]) for key in data}
    out_features, in_features = data['weight'].shape
    linear = nn.Linear(in_features, out_features, bias='bias' in data)
    state = {'weight': data['weight']}
    if 'bias' in data:
        state['bias'] = data['bias']
    linear.load_state_dict(state)
    layer = WoRALinear(linear, rank=data['A'].shape[1])
    with torch.no_grad():
        layer.lora_A.copy_(data['A'].T)
        layer.lora_B.copy_(data['B'].T)
        layer.magnitude.copy_(data['m'][0])
        layer.alpha.copy_(data['alpha'])
        layer.beta.copy_(data['beta'])
    x = data['x'].clone().requires_grad_()
    y = layer(x)
    y.backward(data['grad_out'])
    found = {
        'y': y,
        'gA': layer.lora_A.grad.T,
        'gB': layer.lora_B.grad.T,
        'gm': layer.magnitude.grad[None],
        'galpha': layer.alpha.grad[0],
        'gbeta': layer.beta.grad[0],
        'gx': x.grad,
    }
    for key, value in found.items():
        torch.testing.assert_close(value, data[key], atol=1e-5, rtol=0)


@pytest.mark.parametrize(('kind', 'options'), KINDS)
@pytest.mark.parametrize('bias', [True, False])
def test_factored_equals_definition(kind, options, bias):
    layer = make(kind, options, bias=bias)
    layer.linear.requires_grad_(False)
    x = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(2, 4, 5, dtype=torch.float64)
    inputs = [x, *trained(layer)]
    y = layer(x)
    expected = F.linear(x, definition(layer), layer.linear.bias)
    torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)
    ours = torch.autograd.grad(y, inputs, grad)
    theirs = torch.autograd.grad(expected, inputs, grad)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=0)
    torch.testing.assert_close(layer.merged_weight(), definition(layer))
    torch.testing.assert_close(layer.weight, definition(layer))


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_gradcheck(kind, options):
    layer = make(kind, options)
    layer.linear.bias.requires_grad_(True)
    parameters = trained(layer)

    def function(x, *_):
        return layer(x)

    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    assert gradcheck(function, (x, *parameters))


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_detached_norm_is_a_constant(kind, options):
    layer = make(kind, dict(options, detach_norm=True))
    x = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
    inputs = [x, *trained(layer)]
    ours = torch.autograd.grad(layer(x).sin().sum(), inputs)
    y = F.linear(x, definition(layer, detach=True), layer.bias)
    theirs = torch.autograd.grad(y.sin().sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    attached = make(kind, options)
    full = torch.autograd.grad(attached(x).sin().sum(), attached.lora_B)[0]
    assert (full - ours[2]).abs().max() > 1e-3


def test_only_what_needs_a_gradient_gets_one():
    layer = make(DoRALinear)
    assert not layer.alpha.requires_grad
    assert not layer.beta.requires_grad
    layer.magnitude.requires_grad_(False)
    x = torch.randn(4, 7, dtype=torch.float64)
    layer(x).sum().backward()
    assert layer.lora_A.grad is not None
    assert layer.linear.weight.grad is None
    assert layer.linear.bias.grad is None
    assert layer.magnitude.grad is None


@pytest.mark.parametrize('shape', [(7,), (1, 7), (0, 7), (2, 3, 4, 7)])
def test_any_leading_shape(shape):
    layer = make(WoRALinear)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    assert y.shape == (*shape[:-1], 5)
    y.sum().backward()
    assert x.grad.shape == x.shape
    expected = F.linear(x, definition(layer), layer.bias)
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_starts_at_the_pretrained_layer(kind, options):
    linear = nn.Linear(32, 16)
    x = torch.randn(5, 32)
    before = linear(x)
    layer = kind(linear, rank=4, **options)
    torch.testing.assert_close(layer(x), before, atol=1e-6, rtol=0)
    assert layer.linear is linear
    assert not linear.weight.requires_grad
    assert not linear.bias.requires_grad
    assert layer.lora_A.shape == (4, 32)
    assert layer.lora_B.shape == (16, 4)
    assert not layer.lora_B.any()


def test_initial_values():
    torch.manual_seed(0)
    layer = WoRALinear(nn.Linear(4000, 6), rank=16, alpha=3.0, beta=0.5)
    assert layer.lora_A.var().item() == pytest.approx(1 / 16, rel=0.05)
    torch.testing.assert_close(
        layer.magnitude, layer.linear.weight.norm(dim=0)
    )
    assert layer.alpha.item() == 3.0
    assert layer.beta.item() == 0.5
    assert layer.alpha.shape == layer.beta.shape == (1,)
    outer = WoRALinear(nn.Linear(40, 6), norm_dim='out')
    torch.testing.assert_close(
        outer.magnitude, outer.linear.weight.norm(dim=1)
    )


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_zero_columns_and_rows_stay_finite(kind, options):
    linear = nn.Linear(6, 5)
    with torch.no_grad():
        linear.weight[:, 2] = 0
        linear.weight[3] = 0
    layer = kind(linear, rank=2, **options)
    x = torch.randn(4, 6, requires_grad=True)
    for step in range(2):
        y = layer(x)
        y.square().sum().backward()
        assert y.isfinite().all()
        for parameter in trained(layer):
            assert parameter.grad.isfinite().all()
        assert x.grad.isfinite().all()
        assert layer.merged_weight().isfinite().all()
        with torch.no_grad():
            layer.lora_B.normal_(generator=torch.manual_seed(step))


def test_cancelling_parts_do_not_explode():
    """Where the two parts cancel, rounding must not become a direction."""
    layer = make(WoRALinear, shape=(6, 5), dtype=torch.float32)
    with torch.no_grad():
        factor = layer.alpha * layer.lora_B @ layer.lora_A
        layer.linear.weight.copy_(-factor / layer.beta)
    y = layer(torch.randn(4, 6))
    assert y.isfinite().all()
    merged = F.linear(torch.eye(6), layer.merged_weight())
    assert merged.isfinite().all()


def test_dropout_touches_the_low_rank_path_only():
    layer = make(WoRALinear, dict(dropout=0.5))
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    y = layer(x)
    torch.manual_seed(0)
    dropped = F.dropout(x, 0.5)
    v = layer.alpha * layer.lora_B @ layer.lora_A
    norm = (layer.beta * layer.linear.weight + v).norm(dim=0)
    scale = layer.magnitude / norm
    expected = F.linear(x, layer.beta * layer.linear.weight * scale)
    expected = expected + F.linear(dropped, v * scale) + layer.bias
    torch.testing.assert_close(y, expected)
    inputs = [x, *trained(layer)]
    ours = torch.autograd.grad(y.sin().sum(), inputs)
    theirs = torch.autograd.grad(expected.sin().sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    layer.eval()
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))


def test_frozen_bias_can_be_thawed():
    layer = make(WoRALinear)
    layer.linear.bias.requires_grad_(True)
    layer(torch.randn(4, 7, dtype=torch.float64)).sum().backward()
    torch.testing.assert_close(
        layer.linear.bias.grad, torch.full((5,), 4.0, dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rank=0), 'rank must be an int >= 1, got 0'),
        (dict(rank=-2), 'rank must be an int >= 1, got -2'),
        (dict(rank=2.5), 'rank must be an int >= 1, got 2.5'),
        (dict(rank=True), 'rank must be an int'),
        (dict(alpha=float('nan')), 'alpha must be a finite number'),
        (dict(alpha='8'), "alpha must be a finite number, got '8'"),
        (dict(beta=0.0), 'beta must be finite and > 0'),
        (dict(beta='1'), "beta must be finite and > 0, .* got '1'"),
        (dict(dropout=1.0), 'dropout must be in'),
        (dict(dropout='0.1'), r"dropout must be in \[0, 1\), got '0.1'"),
        (dict(rslora='no'), "rslora must be True or False, got 'no'"),
        (dict(detach_norm='no'), 'detach_norm must be True or False'),
        (dict(norm_dim='row'), "norm_dim must be 'in' or 'out', got 'row'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        WoRALinear(nn.Linear(4, 4), **options)


def test_bad_layers():
    with pytest.raises(TypeError, match=r'wraps an nn\.Linear, got Conv2d'):
        WoRALinear(nn.Conv2d(3, 3, 1))
    with pytest.raises(TypeError, match='adapted already'):
        LoRALinear(WoRALinear(nn.Linear(4, 4)))
    with pytest.raises(TypeError, match='run the lazy layer once'):
        WoRALinear(nn.LazyLinear(4))
    weight_norm = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    with pytest.raises(TypeError, match='remove_parametrizations'):
        WoRALinear(weight_norm)
