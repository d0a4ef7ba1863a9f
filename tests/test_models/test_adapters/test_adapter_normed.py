"""Gradients in closed form against those torch derives."""

import copy

import pytest
import torch
from adapter_cases import NORMED, make, trained
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmtpr.models.adapters import WoRALinear, inject_adapters
from mmtpr.models.adapters.normed_function import NormedLinearFunction


@pytest.fixture
def calls(monkeypatch):
    """Counts how often the closed form is used."""
    found, apply = [], NormedLinearFunction.apply

    def counted(*args):
        found.append(1)
        return apply(*args)

    monkeypatch.setattr(NormedLinearFunction, 'apply', counted)
    return found


def prepared(kind, options, beta=0.8, **more):
    layer = make(kind, dict(options, **more))
    with torch.no_grad():
        layer.beta.fill_(beta)
    layer.linear.bias.requires_grad_(True)
    return layer


@pytest.mark.parametrize('beta', [0.8, -0.8])
@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('dropped', [False, True])
@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_closed_form(kind, options, detach, dropped, beta, calls):
    layer = prepared(kind, options, beta, detach_norm=detach)
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    low = F.dropout(x, 0.4).detach().requires_grad_() if dropped else None
    inputs = [x, *([low] if dropped else []), *trained(layer)]

    def slopes(function):
        y = function(x, low)
        return y, torch.autograd.grad(y.sin().sum(), inputs)

    y, found = slopes(layer._adapted_forward)
    assert calls
    calls.clear()
    wanted_y, wanted = slopes(layer._general_forward)
    assert not calls
    torch.testing.assert_close(y, wanted_y, atol=1e-12, rtol=1e-12)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize('beta', [0.8, -0.8])
@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_derivatives_with_dropout_and_batches(kind, options, beta, calls):
    layer = prepared(kind, options, beta)
    shape = (2, 3, 7)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(shape).double()

    def function(x, *_):
        return layer._adapted_forward(x, x * keep).sin()

    inputs = (x, *trained(layer))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)
    assert calls


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_a_gradient_of_a_gradient_under_autocast(kind, options, calls):
    layer = make(kind, options, shape=(64, 48), dtype=torch.float32)
    x = torch.randn(20, 64, requires_grad=True)
    grad = torch.randn(20, 48)
    inputs = [x, *trained(layer)]

    def second(half):
        with torch.autocast('cpu', torch.bfloat16, enabled=half):
            y = layer(x).float().tanh()
        (slope,) = torch.autograd.grad(y, x, grad, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), inputs)

    for a, b in zip(second(True), second(False), strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert (a - b).norm() <= 0.05 * b.norm() + 0.1
    assert calls


@pytest.mark.parametrize('reentrant', [False, True])
@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_activation_checkpointing_under_autocast(kind, options, reentrant):
    layer = make(kind, options, shape=(16, 12), dtype=torch.float32)
    x = torch.randn(2, 3, 16, requires_grad=True)
    found = []
    for again in (False, True):
        x.grad = None
        layer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16):
            y = (
                checkpoint(layer, x, use_reentrant=reentrant)
                if again
                else layer(x)
            )
        y.float().sin().sum().backward()
        found.append([t.grad.clone() for t in (x, *trained(layer))])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_a_frozen_weight_of_lower_precision(kind, options, calls):
    layer = make(kind, options, shape=(600, 530), dtype=torch.float32)
    layer.linear.bfloat16()
    layer.refresh()
    wide = copy.deepcopy(layer).double()
    x = torch.randn(8, 600)
    with torch.autocast('cpu', torch.bfloat16):
        layer(x).float().square().sum().backward()
    assert calls
    wide(x.double()).square().sum().backward()
    pairs = zip(trained(layer), trained(wide), strict=True)
    for a, b in pairs:
        if a.numel() > 1:  # the two numbers sum what cancels
            assert (a.grad - b.grad).norm() <= 0.03 * b.grad.norm()


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_a_weight_written_before_the_backward_pass_is_noticed(kind, options):
    layer = make(kind, options)
    y = layer(torch.randn(3, 7, dtype=torch.float64))
    with torch.no_grad():
        layer.lora_A.add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        y.sum().backward()


@pytest.mark.parametrize('shape', [(nn.Linear, 16, 12), (nn.Conv2d, 4, 6, 3)])
@pytest.mark.parametrize('norm_dim', ['in', 'out'])
@pytest.mark.parametrize('dropout', [0.0, 0.4])
@pytest.mark.parametrize('beta', [0.0, 1e-30, -1e-20, -0.5])
def test_a_beta_next_to_zero(shape, norm_dim, dropout, beta):
    """The frozen part is gone then, and the change is all there is."""
    torch.manual_seed(0)
    kind, *sizes = shape
    model = nn.Sequential(kind(*sizes))
    options = dict(type='WoRA', rank=2, norm_dim=norm_dim, dropout=dropout)
    inject_adapters(model, options, [dict(type='0')])
    layer = model[0]
    with torch.no_grad():
        layer.lora_B.normal_()
        layer.beta.fill_(beta)
    inputs = (3, 16) if kind is nn.Linear else (2, 4, 5, 5)
    x = torch.randn(inputs, requires_grad=True)
    y = model(x)
    y.square().sum().backward()
    parts = [
        y,
        x.grad,
        *(p.grad for p in layer.parameters() if p.grad is not None),
    ]
    assert len(parts) == 7
    assert all(part.isfinite().all() for part in parts)
    model.eval()
    with torch.no_grad():
        y = model(x)
        layer.merge()
        torch.testing.assert_close(y, model(x), atol=1e-4, rtol=1e-4)
    assert y.std() > 0.1


def test_a_norm_too_large_for_its_type_is_noticed():
    """Also where other columns have nothing but the frozen weight."""
    layer = make(WoRALinear, shape=(16, 12), dtype=torch.float32)
    x = torch.randn(3, 16)
    with torch.no_grad():
        layer.lora_A[:, 3] = 0
        layer.beta.fill_(1e-18)
        y = layer(x)
        layer.merge()
        torch.testing.assert_close(y, layer(x), atol=1e-4, rtol=1e-4)
