"""One adapted linear layer: memory, precision, recomputation and compiling."""

import copy
import shutil

import pytest
import torch
from adapter_cases import KINDS, NORMED, definition, make, trained
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from mmtpr.models.adapters import LoRALinear, WoRALinear


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
        noise = 0.1 if a.numel() == 1 else 0.02
        assert (a - b).norm() <= 0.02 * b.norm() + noise


@pytest.mark.parametrize('factor', [1.0005, 1.001, 1.003, 1.005, 1.01])
@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_bf16_follows_a_small_change_of_the_magnitudes(kind, options, factor):
    """A gain that is rounded to 8 bits moves in steps of 0.4 to 0.8%."""
    layer = make(kind, options, shape=(256, 192), dtype=torch.float32)
    layer.linear.bias.data.zero_()
    with torch.no_grad():  # one gain for all columns, so one rounding
        layer.lora_B.mul_(1e-3)
        layer.magnitude.div_(layer.scale())
    x = torch.randn(256, 256, requires_grad=True)
    grad = torch.randn(256, 192).bfloat16()

    def run():
        with torch.autocast('cpu', torch.bfloat16):
            y = layer(x)
        (slope,) = torch.autograd.grad(y, x, grad)
        return y.detach().double(), slope.double()

    before = run()
    with torch.no_grad():
        layer.magnitude.mul_(factor)
    for a, b in zip(before, run(), strict=True):
        found = float((a * b).sum() / a.square().sum())
        # Half of the smallest step, so that the answer rises with the factor.
        assert found == pytest.approx(factor, abs=2.5e-4)


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
        state = {
            k: v if k == 'norm_rows' else v * 2
            for k, v in layer.state_dict().items()
        }
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


@pytest.mark.gpu
def test_cuda_matches_cpu():
    layer = make(WoRALinear, shape=(64, 48), dtype=torch.float32)
    x = torch.randn(20, 64)
    expected = layer(x)
    torch.testing.assert_close(
        layer.cuda()(x.cuda()).cpu(), expected, atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize('shape', [(5, 16), (2, 5, 16)])
@pytest.mark.parametrize(('kind', 'options'), KINDS)
def test_the_output_may_be_changed_in_place(kind, options, shape, half):
    layer = make(kind, options, shape=(16, 12), dtype=torch.float32)
    x = torch.randn(shape)
    slopes = []
    for inplace in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=half):
            y = F.relu(layer(x), inplace=inplace)
        slopes.append(torch.autograd.grad(y.float().sum(), trained(layer)))
    for a, b in zip(*slopes, strict=True):
        assert torch.equal(a, b)
