"""Adapted models on the meta device and under counters of operations."""

import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmtpr.models.adapters import AdapterModel

KINDS = ['LoRA', 'DoRA', 'WoRA']


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Linear(8, 6)

    def forward(self, x):
        return self.fc(self.attn(x, x, x)[0])


def adapted(kind, device, **options):
    with torch.device(device):
        block = Block()
    targets = [dict(type=r'attn\.(q|v|out_proj)'), dict(type='fc')]
    return AdapterModel(block, dict(type=kind, rank=2, **options), targets)


def operations(model, device, backward=False):
    x = torch.ones(3, 5, 8, device=device)
    with FlopCounterMode(display=False) as counter:
        y = model(x)
        if backward:
            y.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_the_meta_device_counts_as_the_cpu(kind, mode):
    models = {device: adapted(kind, device) for device in ('cpu', 'meta')}
    counts = {}
    for device, model in models.items():
        getattr(model, mode)()
        counts[device] = operations(model, device, backward=mode == 'train')
        model.merge()
        counts[f'merged {device}'] = operations(model, device)
        model.unmerge()
        assert operations(model, device, mode == 'train') == counts[device]
    assert counts['meta'] == counts['cpu'] > 0
    assert counts['merged meta'] == counts['merged cpu'] > 0


def test_outputs_on_the_meta_device_have_shapes_alone():
    y = adapted('WoRA', 'meta')(torch.empty(3, 5, 8, device='meta'))
    assert (y.shape, y.device.type) == ((3, 5, 6), 'meta')


@pytest.mark.parametrize('kind', KINDS)
def test_the_counter_of_mmengine_sees_the_products(kind):
    model = AdapterModel(
        nn.Sequential(nn.Linear(8, 6)),
        dict(type=kind, rank=2),
        [dict(type='0')],
    ).eval()
    counts = get_model_complexity_info(
        model, inputs=torch.ones(3, 8), show_table=False, show_arch=False
    )
    x_products = 3 * (8 * 6 + 8 * 2 + 2 * 6)
    assert counts['flops'] >= x_products
    model.merge()
    merged = get_model_complexity_info(
        model, inputs=torch.ones(3, 8), show_table=False, show_arch=False
    )
    assert merged['flops'] == 3 * 8 * 6


def test_principal_parts_on_the_meta_device_have_shapes_alone():
    model = adapted('LoRA', 'meta', init='pissa')
    assert {p.device.type for p in model.state_dict().values()} == {'meta'}
    found = {k: v.shape for k, v in model.state_dict().items()}
    wanted = adapted('LoRA', 'cpu', init='pissa').state_dict()
    assert found == {k: v.shape for k, v in wanted.items()}
