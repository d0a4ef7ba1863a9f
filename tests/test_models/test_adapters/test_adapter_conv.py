"""Adapted convolutions against kernels composed by autograd."""

import copy

import pytest
import torch
from adapter_cases import trained
from conv_cases import (
    CONV_KINDS,
    SHAPES,
    check_same,
    dense_kernel,
    dense_output,
    make_conv,
)
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from mmtpr.models.adapters import (
    DoRAConv2d,
    LoRAConv2d,
    WoRAConv2d,
    WoRALinear,
)

NORMED = CONV_KINDS[1:]
GROUPED = SHAPES['groups']


def image(layer, dtype=torch.float64):
    torch.manual_seed(4)
    shape = (2, layer.in_channels, 9, 8)
    return torch.randn(shape, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(('kind', 'options'), CONV_KINDS)
@pytest.mark.parametrize('shape', SHAPES.values(), ids=SHAPES)
def test_factored_equals_the_dense_kernel(kind, options, shape):
    layer = make_conv(kind, options, shape)
    check_same(layer, image(layer))
    torch.testing.assert_close(layer.merged_weight(), dense_kernel(layer))
    torch.testing.assert_close(layer.weight, dense_kernel(layer))


@pytest.mark.parametrize(('kind', 'options'), CONV_KINDS)
@pytest.mark.parametrize('name', ['patches', 'groups'])
def test_images_that_need_no_gradient(kind, options, name):
    """They take another way where magnitudes are those of inputs."""
    layer = make_conv(kind, options, SHAPES[name])
    x = image(layer)
    needed = trained(layer)
    expected = dense_output(layer, x.detach(), dense_kernel(layer))
    y = layer(x.detach())
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(y, layer(x))
    grad = torch.randn_like(y)
    ours = torch.autograd.grad(y, needed, grad)
    theirs = torch.autograd.grad(expected, needed, grad)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize(('kind', 'options'), CONV_KINDS)
def test_gradcheck(kind, options):
    layer = make_conv(kind, options, (4, 4, 2, dict(groups=2)))
    layer.linear.bias.requires_grad_(True)
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, *_: layer(x), (x, *trained(layer)))


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_detached_norm_is_a_constant(kind, options):
    layer = make_conv(kind, dict(options, detach_norm=True), GROUPED)
    check_same(layer, image(layer), detach=True)


@pytest.mark.parametrize(('kind', 'options'), CONV_KINDS)
@pytest.mark.parametrize('shape', SHAPES.values(), ids=SHAPES)
def test_starts_at_the_pretrained_layer(kind, options, shape):
    *sizes, conv_options = shape
    conv = nn.Conv2d(*sizes, **conv_options)
    x = torch.randn(2, conv.in_channels, 9, 8)
    before = conv(x)
    layer = kind(conv, rank=2 * conv.groups, **options)
    torch.testing.assert_close(layer(x), before, atol=1e-5, rtol=0)
    assert layer.linear is conv
    assert not conv.weight.requires_grad
    assert layer.lora_A.shape == (2 * conv.groups, *conv.weight.shape[1:])
    assert layer.lora_B.shape == (conv.out_channels, 2)
    assert layer.lora_B.count_nonzero() == 0


@pytest.mark.parametrize(('kind', 'options'), CONV_KINDS)
def test_merged_layer_gives_the_same_and_unmerges_bit_for_bit(kind, options):
    layer = make_conv(kind, options, GROUPED, torch.float32).eval()
    x = image(layer, torch.float32)
    frozen = layer.linear.weight.clone()
    saved = copy.deepcopy(layer.state_dict())
    before = layer(x)
    layer.merge()
    torch.testing.assert_close(layer(x), before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.linear(x), before, atol=1e-5, rtol=1e-5)
    for key, value in layer.state_dict().items():
        assert torch.equal(value, saved[key]), key
    layer.unmerge()
    assert torch.equal(layer.linear.weight, frozen)
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_where_the_parts_cancel(kind, options):
    """The norm of what is left is not that of rounding."""
    layer = make_conv(kind, options, GROUPED, torch.float32)
    with torch.no_grad():
        left = 1e-3 * torch.randn_like(layer.linear.weight)
        layer.linear.weight.zero_()
        kernel = layer._kernel()
        change = layer.alpha * (kernel.b @ kernel.a).view_as(left)
        layer.linear.weight.copy_(left - change / layer.beta)
    x = image(layer, torch.float32)
    y = layer(x)
    exact = copy.deepcopy(layer).double()
    expected = dense_output(exact, x.double(), dense_kernel(exact))
    gap = (y - expected).abs().max() / expected.abs().max()
    assert gap < 1e-3
    y.sum().backward()
    for parameter in trained(layer):
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize(('kind', 'options'), NORMED)
def test_channels_of_zeros_stay_finite(kind, options):
    conv = nn.Conv2d(4, 6, 3, padding=1)
    with torch.no_grad():
        conv.weight[:, 2] = 0
        conv.weight[3] = 0
    layer = kind(conv, rank=2, **options)
    x = image(layer, torch.float32)
    y = layer(x)
    y.square().sum().backward()
    assert y.isfinite().all()
    for parameter in trained(layer):
        assert parameter.grad.isfinite().all()


def test_dropout_touches_the_low_rank_path_only():
    layer = make_conv(WoRAConv2d, dict(dropout=0.5), GROUPED)
    x = image(layer)
    torch.manual_seed(0)
    y = layer(x)
    torch.manual_seed(0)
    dropped = F.dropout(x, 0.5)
    whole = dense_kernel(layer)
    with torch.no_grad():
        ratio = layer.scale().view(2, 1, 3, 1, 1)
        frozen = layer.beta * layer.linear.weight.unflatten(0, (2, -1)) * ratio
    frozen = frozen.flatten(0, 1)
    expected = dense_output(layer, x, frozen)
    rest = dense_output(layer, dropped, whole - frozen)
    rest = rest - layer.linear.bias[:, None, None]
    torch.testing.assert_close(y, expected + rest)


@pytest.mark.parametrize(('kind', 'options'), CONV_KINDS)
def test_bfloat16(kind, options):
    layer = make_conv(kind, options, GROUPED, torch.float32)
    x = image(layer, torch.float32)
    expected = layer(x)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    gap = (y - expected).abs().max() / expected.abs().max()
    assert gap < 0.03
    y.float().sum().backward()
    assert layer.lora_A.grad.dtype == torch.float32
    half = kind(nn.Conv2d(4, 4, 3).bfloat16(), rank=2, **options)
    assert half.lora_A.dtype == torch.float32
    assert half(torch.randn(1, 4, 5, 5).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(('kind', 'options'), CONV_KINDS)
def test_transforms_of_torch(kind, options):
    layer = make_conv(kind, options, GROUPED).eval()
    x = image(layer).detach()
    mapped = torch.func.vmap(lambda one: layer(one[None])[0])(x)
    torch.testing.assert_close(mapped, layer(x))
    tangent = torch.randn_like(x)
    _, pushed = torch.func.jvp(layer, (x,), (tangent,))
    # The layer is linear but for its bias.
    torch.testing.assert_close(pushed, layer(tangent) - layer(0 * tangent))


def test_what_other_code_reads():
    layer = LoRAConv2d(nn.Conv2d(4, 6, 3, stride=2, padding=1))
    assert (layer.in_channels, layer.out_channels) == (4, 6)
    assert layer.kernel_size == (3, 3)
    assert layer.stride == (2, 2)
    assert layer.groups == 1
    with pytest.raises(AttributeError, match='no attribute'):
        _ = layer.in_features
    assert copy.deepcopy(layer).padding == (1, 1)


def test_changed_weights_renew_the_norm():
    layer = make_conv(DoRAConv2d, {}, GROUPED)
    with torch.no_grad():
        layer.linear.weight.mul_(2).add_(0.1)
    check_same(layer, image(layer))
    layer.linear.weight.data.mul_(3)
    assert not layer.has_current_norm()
    layer.refresh()
    check_same(layer, image(layer))


def test_groups_must_divide_the_rank():
    conv = nn.Conv2d(12, 12, 3, groups=12)
    with pytest.raises(ValueError, match='12 groups do not divide rank 8'):
        WoRAConv2d(conv)
    assert WoRAConv2d(conv, rank=24).lora_B.shape == (12, 2)


def test_bad_layers():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean()
            return self._conv_forward(x, weight, self.bias)

    with pytest.raises(TypeError, match='Standardised computes something'):
        LoRAConv2d(Standardised(2, 2, 1))
    with pytest.raises(TypeError, match=r'wraps an nn\.Conv2d, got Linear'):
        LoRAConv2d(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r'wraps an nn\.Linear, got Conv2d'):
        WoRALinear(nn.Conv2d(2, 2, 1))
    with pytest.raises(TypeError, match='adapted already'):
        LoRAConv2d(LoRAConv2d(nn.Conv2d(2, 2, 1)))
    with pytest.raises(ValueError, match='norm_dim must be'):
        WoRAConv2d(nn.Conv2d(2, 2, 1), norm_dim='row')
