"""Adapted convolutions and their dense references."""

import pytest
import torch
from adapter_cases import trained
from torch import nn
from torch.nn import functional as F

from mmtpr.models.adapters import DoRAConv2d, LoRAConv2d, WoRAConv2d

CONV_KINDS = [
    pytest.param(LoRAConv2d, {}, id='LoRA'),
    pytest.param(DoRAConv2d, dict(norm_dim='in'), id='DoRA-in'),
    pytest.param(DoRAConv2d, dict(norm_dim='out'), id='DoRA-out'),
    pytest.param(WoRAConv2d, dict(norm_dim='in'), id='WoRA-in'),
    pytest.param(WoRAConv2d, dict(norm_dim='out'), id='WoRA-out'),
]
#: By name: in, out, kernel and options of the convolution.
SHAPES = {
    'padded': (4, 6, 3, dict(padding=1)),
    '1x1': (6, 4, 1, dict(bias=False)),
    'patches': (3, 5, 4, dict(stride=4)),
    'groups': (6, 4, (3, 2), dict(groups=2, stride=(2, 1))),
    'depthwise': (4, 8, 3, dict(groups=4, padding=2, dilation=2)),
    'reflect': (4, 6, 3, dict(padding=1, padding_mode='reflect')),
    'circular': (4, 6, 3, dict(padding='same', padding_mode='circular')),
}


def make_conv(kind, options, shape, dtype=torch.float64):
    """An adapted convolution that has trained a little."""
    torch.manual_seed(3)
    *sizes, conv_options = shape
    conv = nn.Conv2d(*sizes, **conv_options, dtype=dtype)
    rank = 2 * conv.groups
    layer = kind(conv, rank=rank, alpha=1.7, **options)
    with torch.no_grad():
        layer.lora_B.normal_(std=0.3)
        if kind is not LoRAConv2d:
            layer.magnitude.mul_(torch.rand_like(layer.magnitude) + 0.5)
            layer.beta.fill_(0.8)
    return layer


def dense_kernel(layer, detach=False):
    """The effective kernel, written down group by group."""
    conv = layer.linear
    groups, rank = conv.groups, layer.rank
    change = []
    for g in range(groups):
        a = layer.lora_A.chunk(groups)[g].flatten(1)
        b = layer.lora_B.chunk(groups)[g]
        change.append((b @ a).view(-1, *conv.weight.shape[1:]))
    change = torch.cat(change)
    if isinstance(layer, LoRAConv2d):
        return conv.weight + layer.alpha / rank * change
    v = layer.beta * conv.weight + layer.alpha * change
    if layer.norm_dim == 'out':
        norm = v.square().sum((1, 2, 3)).sqrt()
        norm = norm.detach() if detach else norm
        return v * (layer.magnitude / norm)[:, None, None, None]
    parts = v.view(groups, -1, *v.shape[1:])
    norm = parts.square().sum((1, 3, 4)).sqrt()  # (g, in / g)
    norm = norm.detach() if detach else norm
    scale = layer.magnitude.view_as(norm) / norm
    return (parts * scale[:, None, :, None, None]).view_as(v)


def dense_output(layer, x, weight):
    """Convolve with padding written down, and a given kernel."""
    conv = layer.linear
    padding = conv.padding
    if conv.padding_mode != 'zeros':
        sides = conv._reversed_padding_repeated_twice
        x, padding = F.pad(x, sides, mode=conv.padding_mode), 0
    return F.conv2d(
        x, weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups
    )


def check_same(layer, x, detach=False):
    """Compare output and all gradients with the dense reference."""
    expected = dense_output(layer, x, dense_kernel(layer, detach))
    y = layer(x)
    torch.testing.assert_close(y, expected, atol=1e-12, rtol=1e-10)
    grad = torch.randn_like(y)
    inputs = [x, *trained(layer)]
    ours = torch.autograd.grad(y, inputs, grad)
    theirs = torch.autograd.grad(expected, inputs, grad)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-9)
