"""What the tests of adapters share."""

import pytest
import torch
from torch import nn

from mmtpr.models.adapters import (
    DoRALinear,
    LoRALinear,
    WoRALinear,
    named_adapters,
)

#: Targets: both towers of a CLIP.
ALL = [dict(type=r'(visual|transformer)\..*')]
#: Adapters of single layers, with options.
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


def features(model, batch):
    return model.encode_image(batch[0]), model.encode_text(batch[1])


def close(found, expected, atol=1e-5):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0)


def stir(model, std=0.2):
    torch.manual_seed(5)
    for _, adapter in named_adapters(model):
        nn.init.normal_(adapter.lora_B, std=std)
    return model
