"""The pretended GPU without numbers: what it counts.

Run by tests/test_testing/test_gpu_memory.py in a process of its own.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmtpr.testing.pretended_gpu import NAME, PretendedGPU
from mmtpr.testing.pretended_gpu.gpu_kernels import gpu_kernels


@pytest.fixture
def gpu():
    with PretendedGPU(hollow=True) as found:
        yield found


def floats(gpu, *shape, grad=False):
    return torch.empty(*shape, device=NAME, requires_grad=grad)


def test_bytes_come_and_go_and_views_are_free(gpu):
    x = floats(gpu, 1000, 1000)
    assert gpu.memory.now == 4_000_000
    views = [x.t(), x[:10], x.view(-1)]
    assert gpu.memory.now == 4_000_000
    y = x + 1
    assert gpu.memory.now == 8_000_000
    del x, views
    assert gpu.memory.now == 4_000_000
    del y
    assert gpu.memory.now == 0
    assert gpu.memory.peak == 8_000_000


def test_a_layer_of_a_size_no_machine_has(gpu):
    """A terabyte of activations; the host holds none."""
    x = floats(gpu, 2**20, 2**18)
    assert gpu.memory.now == 2**40
    assert (x @ x.t()).host.is_meta


def test_integers_have_numbers(gpu):
    labels = torch.tensor([5, -100, 7, -100, -100]).to(NAME)
    hidden = labels != -100
    states = floats(gpu, 5, 8)
    assert states[hidden].shape == (2, 8)
    assert labels[hidden].tolist() == [5, 7]
    assert int(hidden.sum()) == 2
    drawn = torch.multinomial(floats(gpu, 5, 5).softmax(1), 1)
    assert states[drawn[:, 0]].shape == (5, 8)


def test_answers_of_what_has_no_numbers(gpu):
    x = floats(gpu, 3)
    assert bool(torch.isfinite(x).all())
    assert not bool((x > 1).any())
    assert x.sum().item() == 1.0
    assert x.cpu().shape == (3,)


def saved(gpu, run):
    """Bytes that a forward pass leaves behind."""
    before = gpu.memory.now
    out = run()
    kept = gpu.memory.now - before
    out.sum().backward()
    return kept


def test_what_a_step_keeps_is_what_autograd_keeps(gpu):
    """By hand: the outputs of two layers and a GELU; inputs are there."""
    model = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 4))
    model.to(NAME)
    x = floats(gpu, 100, 8)
    kept = saved(gpu, lambda: model(x))
    assert kept == 4 * 100 * (32 + 32 + 4)
    again = saved(gpu, lambda: checkpoint(model, x, use_reentrant=False))
    assert 4 * 100 * 4 <= again < 4 * 100 * 4 + 100
    # Twice: now there are gradients, of the size of the weights.
    weights = sum(p.numel() for p in model.parameters())
    assert gpu.memory.now == 4 * (2 * weights + x.numel())


def test_attention_keeps_no_scores(gpu):
    q, k, v = (floats(gpu, 2, 3, 64, 8, grad=True) for _ in range(3))
    bias = floats(gpu, 1, 3, 64, 64, grad=True)
    with gpu_kernels():
        kept = saved(
            gpu,
            lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=bias),
        )
    assert kept == 4 * (2 * 3 * 64 * 8 + 2 * 3 * 64)  # output, row sums
    assert bias.grad.shape == bias.shape
    one_by_one = saved(gpu, lambda: ((q @ k.mT) + bias).softmax(-1) @ v)
    assert one_by_one >= 4 * (2 * 3 * 64 * 64)


def test_dropout_keeps_a_byte_a_number(gpu):
    x = floats(gpu, 100, 10, grad=True)
    with gpu_kernels():
        kept = saved(gpu, lambda: F.dropout(x, 0.1, True))
        assert kept == 100 * 10 * (4 + 1)
        assert F.dropout(x, 0.1, False) is x


def test_mixed_precision_casts_a_weight_once(gpu):
    layer = nn.Linear(1000, 1000, bias=False).to(NAME)
    x = floats(gpu, 10, 1000)
    before = gpu.memory.now
    with torch.autocast(NAME, torch.bfloat16):
        out = layer(layer(x).float())
    assert out.dtype == torch.bfloat16
    kept = gpu.memory.now - before
    assert 2_000_000 < kept < 2_200_000
    del out
    assert gpu.memory.now == before


def test_the_optimizer_has_its_moments(gpu):
    layer = nn.Linear(100, 100, bias=False).to(NAME)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(floats(gpu, 2, 100)).sum().backward()
    before = gpu.memory.now
    optimizer.step()
    assert gpu.memory.now - before == 2 * 4 * 100 * 100
