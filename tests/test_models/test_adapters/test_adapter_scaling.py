"""rslora and PiSSA: other scales and other starts of low-rank changes."""

import copy
import math

import pytest
import torch
from adapter_cases import trained
from torch import nn

from mmtpr.models.adapters import (
    DoRAConv2d,
    DoRALinear,
    LoRAConv2d,
    LoRALinear,
    WoRAConv2d,
    WoRALinear,
    WoRAModel,
    adapter_state_dict,
    inject_adapters,
    load_adapter_state_dict,
    merge_adapters,
    remove_adapters,
)

RANK = 4


def layers(kind, **options):
    if kind.__name__.endswith('Linear'):
        plain = nn.Linear(12, 9)
    else:
        plain = nn.Conv2d(4, 6, 3, groups=2, padding=1)
    torch.manual_seed(0)
    return plain, kind(copy.deepcopy(plain), rank=RANK, **options)


def an_input(layer):
    torch.manual_seed(1)
    if isinstance(layer, nn.Linear) or hasattr(layer, 'in_features'):
        return torch.randn(5, 12)
    return torch.randn(2, 4, 5, 5)


@pytest.mark.parametrize('kind', [LoRALinear, LoRAConv2d])
def test_rslora_divides_by_the_root(kind):
    _, usual = layers(kind, alpha=3.0)
    _, stable = layers(kind, alpha=3.0, rslora=True)
    changes = []
    for layer in (usual, stable):
        with torch.no_grad():
            layer.lora_A.copy_(usual.lora_A)
            layer.lora_B.fill_(0.3)
            layer.linear.weight.copy_(usual.linear.weight)
        changes.append(layer.merged_weight() - layer.linear.weight)
    torch.testing.assert_close(
        changes[1], math.sqrt(RANK) * changes[0], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    'kind', [DoRALinear, WoRALinear, DoRAConv2d, WoRAConv2d]
)
def test_rslora_of_layers_with_norms(kind):
    _, layer = layers(kind, alpha=3.0, rslora=True)
    assert layer.alpha.item() == pytest.approx(3 / math.sqrt(RANK))
    # The file says all: whoever loads it needs not know of the option.
    nn.init.normal_(layer.lora_B)
    _, other = layers(kind, alpha=3.0)
    other.load_state_dict(layer.state_dict())
    x = an_input(layer)
    assert torch.equal(layer(x), other(x))


def test_rslora_in_configs():
    model = WoRAModel(
        nn.Sequential(nn.Linear(4, 4)),
        rank=4,
        rslora=True,
        targets=[dict(type='0')],
    )
    assert model.module[0].alpha.item() == pytest.approx(4.0)


@pytest.mark.parametrize('kind', [LoRALinear, LoRAConv2d])
@pytest.mark.parametrize('rslora', [False, True])
def test_pissa_starts_at_the_principal_parts(kind, rslora):
    plain, layer = layers(kind, alpha=3.0, rslora=rslora, init='pissa')
    x = an_input(plain)
    torch.testing.assert_close(layer(x), plain(x), atol=1e-5, rtol=1e-5)
    groups = getattr(plain, 'groups', 1)
    scale = 3 / (math.sqrt(RANK) if rslora else RANK)
    matrix = plain.weight.detach().flatten(1).unflatten(0, (groups, -1))
    a = layer.lora_A.flatten(1).unflatten(0, (groups, -1))
    b = layer.lora_B.unflatten(0, (groups, -1))
    residual = matrix - scale * b @ a
    values = torch.linalg.svdvals(matrix)
    left = torch.linalg.svdvals(residual)
    share = RANK // groups
    rest = values.shape[1] - share
    torch.testing.assert_close(
        left[:, :rest], values[:, share:], atol=1e-5, rtol=1e-4
    )
    # Both factors get a gradient from the first step on.
    layer(x).square().sum().backward()
    assert all(p.grad.abs().max() > 1e-3 for p in trained(layer))


@pytest.mark.parametrize('kind', [LoRALinear, LoRAConv2d])
def test_pissa_is_a_plain_lora_of_twice_the_rank(kind):
    plain, layer = layers(kind, alpha=3.0, init='pissa')
    with torch.no_grad():
        layer.lora_A.add_(0.1 * torch.randn_like(layer.lora_A))
        layer.lora_B.add_(0.1 * torch.randn_like(layer.lora_B))
    a, b = layer.plain_factors()
    other = kind(copy.deepcopy(layer.linear), 2 * RANK, 2 * 3.0)
    with torch.no_grad():
        other.lora_A.copy_(a)
        other.lora_B.copy_(b)
    x = an_input(plain)
    torch.testing.assert_close(other(x), layer(x))
    merged = layer.merged_weight()
    torch.testing.assert_close(merged, other.merged_weight())


def model_of(init='pissa'):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 6))
    plain = copy.deepcopy(model)
    inject_adapters(
        model,
        dict(type='LoRA', rank=2, init=init),
        [dict(type='.*', convs=True)],
    )
    return plain, model


def test_an_adapter_file_on_the_plain_weights_is_the_same_model():
    plain, model = model_of()
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], 0.05
    )
    x = torch.randn(4, 3, 3, 3)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    for key, value in plain.state_dict().items():
        layer, leaf = key.split('.')
        own = model.state_dict()[f'{layer}.linear.{leaf}']
        assert torch.equal(own, value), key
    state = adapter_state_dict(model)
    assert {key.rpartition('.')[2] for key in state} == {
        *('lora_A', 'lora_B', 'alpha', 'pissa_A', 'pissa_B')
    }
    # One whose decomposition came out another way: signs are free.
    _, other = model_of()
    with torch.no_grad():
        for layer in (other[0], other[2]):
            for part in ('lora_A', 'lora_B', 'pissa_A', 'pissa_B'):
                getattr(layer, part).neg_()
    load_adapter_state_dict(other, state)
    assert torch.equal(other(x), model(x))
    other.load_state_dict(model.state_dict())
    with pytest.raises(RuntimeError, match=r'unexpected: .*pissa_A'):
        load_adapter_state_dict(model_of('zero')[1], state)
    with pytest.raises(RuntimeError, match=r'missing: .*pissa_A'):
        load_adapter_state_dict(model, adapter_state_dict(model_of('zero')[1]))
    after = model(x)
    merged = merge_adapters(copy.deepcopy(model), remove=True)
    torch.testing.assert_close(merged(x), after, atol=1e-5, rtol=1e-4)
    bare = remove_adapters(model)
    assert torch.equal(bare(x), plain(x))


def test_bad_starts():
    with pytest.raises(ValueError, match="init must be 'zero' or 'pissa'"):
        LoRALinear(nn.Linear(4, 4), rank=2, init='svd')
    with pytest.raises(ValueError, match='needs an alpha above 0'):
        LoRALinear(nn.Linear(4, 4), rank=2, alpha=-1.0, init='pissa')
    with pytest.raises(ValueError, match='the rank 5; it has 4'):
        LoRALinear(nn.Linear(4, 9), rank=5, init='pissa')
    broken = nn.Linear(4, 4)
    nn.init.constant_(broken.weight, torch.nan)
    with pytest.raises(ValueError, match='A weight: NaN or infinite numbers'):
        LoRALinear(broken, rank=2, init='pissa')
    model = nn.Sequential(nn.Linear(4, 9))
    with pytest.raises(ValueError, match='needs a rank of at most 4'):
        inject_adapters(
            model, dict(type='LoRA', init='pissa'), [dict(type='0')]
        )
    assert type(model[0]) is nn.Linear
    with pytest.raises(ValueError, match='DoRALinear has no option init'):
        inject_adapters(
            model, dict(type='DoRA', init='pissa'), [dict(type='0')]
        )
