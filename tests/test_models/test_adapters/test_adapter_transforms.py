"""Adapted layers under the transforms of torch.func, and torch.jit."""

import pytest
import torch
from adapter_cases import KINDS, make
from torch import nn
from torch.autograd import forward_ad, gradgradcheck
from torch.func import functional_call, hessian, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from mmtpr.models.adapters import WoRALinear
from mmtpr.models.adapters.functional import adapted_linear


def call(layer):
    """A function of the input and the values that train."""
    names = [n for n, p in layer.named_parameters() if p.requires_grad]
    values = [layer.get_parameter(name) for name in names]

    def function(x, *values):
        given = dict(zip(names, values, strict=True))
        return functional_call(layer, given, (x,)).sin()

    return function, values


def inputs(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_second_derivatives(kind, options):
    function, values = call(make(kind, options))
    assert gradgradcheck(function, (inputs(3, 7), *values))


@pytest.mark.parametrize('side', ['in', 'out'])
@pytest.mark.parametrize('bias', [True, False])
def test_second_derivatives_with_an_input_of_the_low_rank_path(side, bias):
    torch.manual_seed(0)
    weight = torch.randn(5, 7, dtype=torch.float64)
    tensors = [inputs(3, 7), inputs(3, 7), inputs(2, 7), inputs(5, 2)]
    tensors += [inputs(7 if side == 'in' else 5)]
    tensors += [inputs(5)] if bias else []

    def function(x, low, down, up, gain, bias=None):
        args = (x, weight, bias, down, up, gain, side, low)
        return adapted_linear(*args).sin()

    assert gradgradcheck(function, tensors)


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_vmap_over_inputs_and_over_layers(kind, options):
    layer = make(kind, options)
    x = torch.randn(4, 3, 7, dtype=torch.float64)
    torch.testing.assert_close(vmap(layer)(x), layer(x))
    function, values = call(layer)
    stacked = [torch.stack([v, v * 1.1]) for v in values]
    both = vmap(lambda *v: function(x, *v))(*stacked)
    for index in (0, 1):
        wanted = function(x, *(v[index] for v in stacked))
        torch.testing.assert_close(both[index], wanted)


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_forward_mode(kind, options):
    layer = make(kind, options)
    x, tangent = torch.randn(2, 3, 7, dtype=torch.float64)
    step = 1e-6
    wanted = (layer(x + step * tangent) - layer(x - step * tangent)) / step / 2
    _, found = jvp(layer, (x,), (tangent,))
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-6)
    with forward_ad.dual_level():
        y = layer(forward_ad.make_dual(x, tangent))
        found = forward_ad.unpack_dual(y).tangent
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_a_graph_of_the_forward_and_backward_pass(kind, options):
    layer = make(kind, options)
    names = [n for n, p in layer.named_parameters() if p.requires_grad]

    def slopes(x):
        wanted = [layer.get_parameter(name) for name in names]
        return torch.autograd.grad(layer(x).sin().sum(), wanted)

    x = torch.randn(3, 7, dtype=torch.float64)
    graph = make_fx(slopes)(x)
    for a, b in zip(graph(x * 2), slopes(x * 2), strict=True):
        torch.testing.assert_close(a, b)


def test_hessian_of_the_magnitude():
    layer = make(WoRALinear)
    x = torch.randn(3, 7, dtype=torch.float64)

    def loss(magnitude):
        y = functional_call(layer, dict(magnitude=magnitude), (x,))
        return y.square().sum()

    found = hessian(loss)(layer.magnitude.detach())
    # The layer is linear in the magnitude: twice the Gram matrix of what
    # each magnitude brings.
    unit = torch.eye(7, dtype=torch.float64)
    zero = functional_call(layer, dict(magnitude=unit[0] * 0), (x,))
    parts = [
        (functional_call(layer, dict(magnitude=row), (x,)) - zero).flatten()
        for row in unit
    ]
    gram = torch.stack(parts) @ torch.stack(parts).t()
    torch.testing.assert_close(found, 2 * gram)


def test_jit_script_says_to_merge_first():
    model = nn.Sequential(make(WoRALinear, dtype=torch.float32), nn.ReLU())
    with pytest.raises(RuntimeError, match=r'merge_adapters\(model\) first'):
        torch.jit.script(model)
    model[0].merge()
    x = torch.randn(2, 7)
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))
