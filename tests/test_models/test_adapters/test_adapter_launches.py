"""What an adapted layer asks of the host: kernels that are started."""

import pytest
import torch
from adapter_cases import NORMED, make
from torch import nn

from mmtpr.models.adapters import LoRALinear
from mmtpr.testing import LaunchCounter

#: Kernels of a layer with norms, forward and backward.
MOST = 45


def launches(layer, half, needs=True):
    x = torch.randn(8, 16, requires_grad=needs)
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        grad = torch.randn(8, 12, dtype=layer(x).dtype)
    with LaunchCounter() as counter:
        with torch.autocast('cpu', torch.bfloat16, enabled=half):
            y = layer(x)
        y.backward(grad)
    return counter


@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize(('kind', 'options'), NORMED)
@pytest.mark.parametrize('needs', [True, False])
def test_a_layer_with_norms_starts_few_kernels(kind, options, half, needs):
    layer = make(kind, options, shape=(16, 12), dtype=torch.float32)
    layer.linear.requires_grad_(False)
    counter = launches(layer, half, needs)
    assert counter.total <= MOST, counter.launches
    assert counter.launches['mm'] >= 8, 'the watch sees nothing'


@pytest.mark.parametrize('half', [False, True])
def test_other_layers(half):
    """The counts that those of layers with norms are compared with."""
    linear = nn.Linear(16, 12)
    assert launches(linear, half).total == (10 if half else 4)
    layer = make(LoRALinear, shape=(16, 12), dtype=torch.float32)
    assert launches(layer, half).total <= 23


def test_views_and_new_memory_start_nothing():
    x = torch.randn(4, 6)
    with LaunchCounter() as counter:
        x.t()[1:, None].expand(-1, 2, -1).unbind(1)
        torch.empty_like(x).view(-1).detach()
    assert counter.launches == {}
    with LaunchCounter() as counter:
        x.add_(1).mul(2)
    assert counter.launches == {'add_': 1, 'mul': 1}
