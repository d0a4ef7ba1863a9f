"""One adapted linear layer: mathematics, gradients, states."""

import copy
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from mmtpr.models.adapters import DoRALinear, LoRALinear, WoRALinear

NAMES = ('lora_A', 'lora_B', 'magnitude', 'alpha', 'beta')
KINDS = [
    pytest.param(LoRALinear, {}, id='LoRA'),
    pytest.param(DoRALinear, dict(norm_dim='in'), id='DoRA-in'),
    pytest.param(DoRALinear, dict(norm_dim='out'), id='DoRA-out'),
    pytest.param(WoRALinear, dict(norm_dim='in'), id='WoRA-in'),
    pytest.param(WoRALinear, dict(norm_dim='out'), id='WoRA-out'),
]
NORMED = KINDS[1:]


def make(kind, options=None, shape=(7, 5), bias=True, dtype=torch.float64):
    """An adapter that has trained a little."""
    torch.manual_seed(3)
    linear = nn.Linear(*shape, bias=bias, dtype=dtype)
    layer = kind(linear, rank=3, alpha=1.7, **(options or {}))
    with torch.no_grad():
        layer.lora_B.normal_(std=0.3)
        if kind is not LoRALinear:
            layer.magnitude.mul_(torch.rand_like(layer.magnitude) + 0.5)
            layer.beta.fill_(0.8)
    return layer


def definition(layer, detach=False):
    """The effective weight, written down as in the papers."""
    weight = layer.linear.weight
    if isinstance(layer, LoRALinear):
        scale = layer.alpha / layer.rank
        return weight + scale * layer.lora_B @ layer.lora_A
    v = layer.beta * weight + layer.alpha * layer.lora_B @ layer.lora_A
    dim = 0 if layer.norm_dim == 'in' else 1
    norm = v.norm(dim=dim, keepdim=True)
    norm = norm.detach() if detach else norm
    return layer.magnitude.unsqueeze(dim) * v / norm


def trained(layer):
    return [p for p in layer.parameters() if p.requires_grad]


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
        'galpha': layer.alpha.grad,
        'gbeta': layer.beta.grad,
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
    assert layer.alpha.shape == layer.beta.shape == ()
    outer = WoRALinear(nn.Linear(40, 6), norm_dim='out')
    torch.testing.assert_close(
        outer.magnitude, outer.linear.weight.norm(dim=1)
    )


class _LargeTensors(TorchDispatchMode):
    """Counts operations that return a new tensor of at least a size."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {
            a.untyped_storage().data_ptr()
            for a in args
            if isinstance(a, torch.Tensor)
        }
        for tensor in result if isinstance(result, tuple) else (result,):
            if (
                isinstance(tensor, torch.Tensor)
                and tensor.numel() >= self.size
                and tensor.untyped_storage().data_ptr() not in given
            ):
                self.found.append(str(func))
        return result


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_no_weight_sized_tensor_is_built(kind, options):
    layer = make(kind, options, shape=(64, 96), dtype=torch.float32)
    x = torch.randn(10, 64, requires_grad=True)
    with _LargeTensors(64 * 96) as watch:
        layer(x).sum().backward()
    assert watch.found == []
    with _LargeTensors(64 * 96) as watch:
        F.linear(x, definition(layer)).sum().backward()
    assert watch.found, 'the watch sees nothing'


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


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_bf16_autocast(kind, options):
    layer = make(kind, options, shape=(64, 48), dtype=torch.float32)
    x = torch.randn(20, 64, requires_grad=True)
    grad = torch.randn(20, 48)
    inputs = [x, *trained(layer)]
    expected = torch.autograd.grad(layer(x), inputs, grad)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), atol=0.1, rtol=0.02)
    found = torch.autograd.grad(y, inputs, grad.bfloat16())
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype == torch.float32
        # The scalars' gradients are sums of terms that cancel.
        noise = 0.1 if a.dim() == 0 else 0.02
        assert (a - b).norm() <= 0.02 * b.norm() + noise


@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_bf16_weights_with_float32_adapter(kind, options):
    torch.manual_seed(0)
    linear = nn.Linear(1100, 1030).bfloat16()
    layer = kind(linear, rank=4, **options)
    assert layer.lora_A.dtype == torch.float32
    with torch.no_grad():
        layer.lora_B.normal_(std=0.002)
    x = torch.randn(8, 1100, dtype=torch.bfloat16)
    y = layer(x)
    y.float().sum().backward()
    weight = copy.deepcopy(layer).double()
    expected = F.linear(x.double(), definition(weight), weight.bias)
    assert y.dtype == torch.bfloat16
    assert (y - expected).norm() < 0.01 * expected.norm()
    assert layer.merged_weight().dtype == torch.bfloat16
    if kind is not LoRALinear:
        dim = 0 if layer.norm_dim == 'in' else 1
        v = layer.beta * weight.linear.weight
        v = v + layer.alpha * weight.lora_B @ weight.lora_A
        exact = weight.magnitude / v.norm(dim=dim)
        torch.testing.assert_close(
            layer.scale().double(), exact, rtol=1e-5, atol=0
        )
        # The gradient through the chunked product of the norm.
        (ours,) = torch.autograd.grad(layer.scale().sum(), layer.lora_B)
        (theirs,) = torch.autograd.grad(exact.sum(), weight.lora_B)
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)


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
def test_activation_checkpointing(kind, options):
    layer = make(kind, dict(options, dropout=0.2))
    x = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
    inputs = [x, *trained(layer)]
    torch.manual_seed(1)
    expected = torch.autograd.grad(layer(x).sin().sum(), inputs)
    torch.manual_seed(1)
    y = checkpoint(layer, x, use_reentrant=False)
    for a, b in zip(
        torch.autograd.grad(y.sin().sum(), inputs), expected, strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize(('kind', 'options'), [KINDS[0], KINDS[3], KINDS[4]])
def test_torch_compile(kind, options):
    torch._dynamo.reset()
    layer = make(kind, options, shape=(16, 12), dtype=torch.float32)
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True)
    for seed in (0, 1):
        torch.manual_seed(seed)
        x = torch.randn(6, 16, requires_grad=True)
        inputs = [x, *trained(layer)]
        expected = torch.autograd.grad(layer(x).sin().sum(), inputs)
        found = torch.autograd.grad(compiled(x).sin().sum(), inputs)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        state = {k: v * 2 for k, v in layer.state_dict().items()}
        layer.load_state_dict(state)


@pytest.mark.skipif(
    shutil.which('g++') is None and shutil.which('clang++') is None,
    reason='torch.compile needs a C++ compiler on CPUs',
)
def test_torch_compile_to_machine_code():
    torch._dynamo.reset()
    layer = make(WoRALinear, shape=(16, 12), dtype=torch.float32)
    x = torch.randn(6, 16, requires_grad=True)
    inputs = [x, *trained(layer)]
    expected = torch.autograd.grad(layer(x).sin().sum(), inputs)
    y = torch.compile(layer, fullgraph=True)(x)
    for a, b in zip(
        torch.autograd.grad(y.sin().sum(), inputs), expected, strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_frozen_bias_can_be_thawed():
    layer = make(WoRALinear)
    layer.linear.bias.requires_grad_(True)
    layer(torch.randn(4, 7, dtype=torch.float64)).sum().backward()
    torch.testing.assert_close(
        layer.linear.bias.grad, torch.full((5,), 4.0, dtype=torch.float64)
    )


def test_second_derivatives_are_refused():
    layer = make(WoRALinear)
    x = torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x).sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rank=0), 'rank must be an int >= 1, got 0'),
        (dict(rank=-2), 'rank must be an int >= 1, got -2'),
        (dict(rank=2.5), 'rank must be an int >= 1, got 2.5'),
        (dict(rank=True), 'rank must be an int'),
        (dict(alpha=float('nan')), 'alpha must be finite'),
        (dict(beta=0.0), 'beta must be finite and > 0'),
        (dict(dropout=1.0), 'dropout must be in'),
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


@pytest.mark.gpu
def test_cuda_matches_cpu():
    layer = make(WoRALinear, shape=(64, 48), dtype=torch.float32)
    x = torch.randn(20, 64)
    expected = layer(x)
    torch.testing.assert_close(
        layer.cuda()(x.cuda()).cpu(), expected, atol=1e-3, rtol=1e-3
    )
