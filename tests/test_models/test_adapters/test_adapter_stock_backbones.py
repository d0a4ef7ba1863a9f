"""Stock backbones of mmpretrain, timm and open_clip with adapters."""

import copy

import pytest
import torch
from stock_backbones import BACKBONES, first_output, images_for

from mmtpr.models.adapters import (
    AdapterModel,
    adapter_state_dict,
    load_adapter_state_dict,
    merge_adapters,
    named_adapters,
)
from mmtpr.utils.warn import heard_warnings

KINDS = {
    'LoRA': dict(type='LoRA', rank=4),
    'DoRA': dict(type='DoRA', rank=4, norm_dim='out'),
    'WoRA': dict(type='WoRA', rank=4),
}


def build(name, kind):
    """A backbone, and a copy of it with adapters."""
    builder, targets, number = BACKBONES[name]
    torch.manual_seed(0)
    plain = builder()
    plain.eval()  # some return nothing
    for parameter in plain.parameters():
        # Some start at 0, and nothing behind them gets a gradient.
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
    torch.manual_seed(2)
    model = AdapterModel(copy.deepcopy(plain), KINDS[kind], targets)
    assert len(model.adapted_layers) == number, model.adapted_layers
    return plain, model


def train_a_step(model, images):
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.02)
    for _ in range(2):  # A moves once B has
        optimizer.zero_grad()
        first_output(model(images)).square().mean().backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_trains_saves_loads_and_merges(tmp_path, name, kind):
    plain, model = build(name, kind)
    images = images_for(name)
    before = first_output(plain(images))
    start = first_output(model.eval()(images))
    torch.testing.assert_close(start, before, atol=1e-5, rtol=1e-4)
    with torch.enable_grad():
        train_a_step(model, images_for(name, 4))
    for layer_name, layer in named_adapters(model):
        moved = layer.lora_B.abs().max().item()
        assert moved > 0, layer_name
    after = first_output(model(images))
    assert (after - before).abs().max() > 1e-3

    file = tmp_path / 'adapter.pth'
    torch.save(adapter_state_dict(model), file)
    _, again = build(name, kind)
    load_adapter_state_dict(again, torch.load(file, weights_only=True))
    loaded = first_output(again.eval()(images))
    torch.testing.assert_close(loaded, after, atol=0, rtol=0)

    model.merge()
    merged = first_output(model(images))
    torch.testing.assert_close(merged, after, atol=2e-5, rtol=1e-4)
    model.unmerge()
    torch.testing.assert_close(
        first_output(model(images)), after, atol=0, rtol=0
    )
    bare = merge_adapters(model, remove=True)
    assert [*bare.state_dict()] == [*plain.state_dict()]
    assert type(bare) is type(plain)
    torch.testing.assert_close(
        first_output(bare(images)), after, atol=2e-5, rtol=1e-4
    )
    other = copy.deepcopy(plain)
    other.load_state_dict(bare.state_dict())
    torch.testing.assert_close(
        first_output(other(images)), after, atol=2e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    ('name', 'reads'), [('timm BEiT', True), ('timm Swin', False)]
)
def test_dropout_that_does_nothing_is_told(name, reads):
    """Where the attention reads the weight and never calls the layer."""
    builder, targets, _ = BACKBONES[name]
    adapter = dict(type='LoRA', rank=2, dropout=0.5)
    model = AdapterModel(builder(), adapter, targets).train()
    _, layer = next(iter(named_adapters(model)))
    with heard_warnings() as lines:
        for _ in range(8):
            assert layer.weight.dtype  # as some forwards ask for it
            first_output(model(images_for(name)))
    told = 'dropout=0.5 of LoRALinear does nothing in layers whose weight'
    assert any(line.startswith(told) for line in lines) == reads
