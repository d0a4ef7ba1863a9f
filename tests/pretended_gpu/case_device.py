"""The pretended GPU itself: what it refuses, counts and casts.

Torch knows another accelerator afterwards, so this runs in a process of its
own: see tests/test_testing/test_pretended_gpu/test_device.py.
"""

import copy
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmtpr.testing.pretended_gpu import (
    NAME,
    DeviceMismatchError,
    PretendedGPU,
    PretendedTensor,
)


@pytest.fixture
def gpu():
    with PretendedGPU() as found:
        yield found


def on(*shape):
    return torch.arange(torch.Size(shape).numel()).view(shape).float().to(NAME)


def test_numbers_are_those_of_the_cpu(gpu):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    twin = copy.deepcopy(model).to(NAME)
    x = torch.randn(5, 4)
    loss = F.cross_entropy(model(x), torch.tensor([0, 1, 2, 0, 1]))
    other = F.cross_entropy(
        twin(x.to(NAME)), torch.tensor([0, 1, 2, 0, 1], device=NAME)
    )
    loss.backward()
    other.backward()
    assert isinstance(other, PretendedTensor)
    torch.testing.assert_close(other.cpu(), loss)
    for own, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        assert own.device.type == NAME
        torch.testing.assert_close(own.grad.cpu(), theirs.grad)


@pytest.mark.parametrize(
    'meet',
    [
        lambda x, cpu: x + cpu,
        lambda x, cpu: cpu @ x,
        lambda x, cpu: torch.cat([x, cpu]),
        lambda x, cpu: F.linear(x, cpu),
        lambda x, cpu: cpu[x[0].long()],
        lambda x, cpu: x.index_put((x[0].long(),), cpu),
        lambda x, cpu: cpu.index_put((x[0].long(),), x),
        lambda x, cpu: torch.where(x > 0, x, cpu),
        lambda x, cpu: cpu[0, 0].add_(x[0, 0]),
        lambda x, cpu: torch.stack([x[0, 0], cpu[0, 0]]),
        lambda x, cpu: x.gather(0, cpu.long()),
    ],
)
def test_two_devices_do_not_meet(gpu, meet):
    x, cpu = on(2, 2), torch.ones(2, 2)
    with pytest.raises(DeviceMismatchError):
        meet(x, cpu)


def test_scalars_of_the_cpu_are_numbers(gpu):
    x = on(2, 2)
    assert (x * torch.tensor(2.0)).cpu().tolist() == [[0, 2], [4, 6]]
    x.add_(torch.tensor(1.0))
    assert x.cpu().tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ('ask', 'times'),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: bool(x.sum() > 0), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x[x > 1], 1),
        (lambda x: x.masked_select(x > 1), 1),
        (lambda x: x.unique(), 1),
        (lambda x: torch.multinomial(x.abs() + 1, 1), 2),
        (lambda x: x.tolist(), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: torch.ones(2, 2).to(NAME), 1),
        (lambda x: torch.tensor([1, 2], device=NAME), 1),
        (lambda x: x[[0, 1]], 1),
        (lambda x: x[torch.tensor([1])], 1),
        (lambda x: x[0].repeat_interleave(x[0].long()), 2),
        (lambda x: f'{x.sum():.1f}', 1),
        (lambda x: torch.equal(x, x), 1),
        # Nothing of this waits.
        (lambda x: torch.ones(2, 2).to(NAME, non_blocking=True), 0),
        (lambda x: (x @ x).softmax(1).sum(), 0),
        (lambda x: x[x.long()[0]], 0),
        (lambda x: torch.where(x > 1, x, 0), 0),
        (lambda x: torch.zeros(3, device=NAME) + 1, 0),
        (lambda x: x.argmax(1), 0),
    ],
)
def test_what_waits_is_counted(gpu, ask, times):
    x = on(2, 2)
    gpu.reset()
    ask(x)
    assert sum(gpu.waits().values()) >= min(times, 1), gpu.events
    if times == 0:
        assert not gpu.waits(), gpu.events
    else:
        assert sum(gpu.waits().values()) <= times + 1, gpu.events


def test_the_line_that_waits_is_named(gpu):
    x = on(2)
    gpu.reset()
    x.sum().item()
    ((place, times),) = gpu.waits().items()
    assert times == 1
    assert '_local_scalar_dense at' in place
    assert 'case_device.py:' in place


def test_launches_leave_views_out(gpu):
    x = on(2, 3)
    gpu.reset()
    x.t().reshape(3, 2)[:1].unsqueeze(0)
    assert gpu.launches() == 0
    (x.t() @ x).relu()
    assert gpu.launches() == 2


def test_a_planted_tensor_of_the_cpu_is_found(gpu):
    from mmtpr.models.losses.functional import sdm_loss

    image, text = F.normalize(on(4, 3) + 1), F.normalize(on(4, 3) + 2)
    pids = torch.arange(4)
    with pytest.raises(DeviceMismatchError):
        sdm_loss(image, text, pids, 50.0)
    loss = sdm_loss(image, text, pids.to(NAME), 50.0)
    assert torch.isfinite(loss.cpu())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_has_the_lists_of_cuda(gpu, dtype):
    x, weight = on(2, 2), on(2, 2)
    with torch.autocast(NAME, dtype):
        assert (x @ weight).dtype == dtype
        assert F.linear(x, weight).dtype == dtype
        # A CPU would compute these in the lower type or not list them.
        assert F.layer_norm(x @ weight, (2,)).dtype == torch.float32
        assert (x @ weight).softmax(1).dtype == torch.float32
        assert (x @ weight).sum().dtype == torch.float32
        assert torch.cat([x, x @ weight]).dtype == torch.float32
        with torch.autocast(NAME, enabled=False):
            assert (x @ weight).dtype == torch.float32
    assert (x @ weight).dtype == torch.float32


def test_a_planted_overflow_is_found(gpu):
    x = torch.full((2, 64), 60.0).to(NAME)
    with torch.autocast(NAME, torch.bfloat16):
        assert torch.isfinite((x @ x.t()).cpu()).all()
    with torch.autocast(NAME, torch.float16):
        assert torch.isinf((x @ x.t()).cpu()).all()


def test_gradients_are_scaled_and_overflows_skipped(gpu):
    from mmengine.optim import AmpOptimWrapper

    layer = nn.Linear(2, 1).to(NAME)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    wrapper = AmpOptimWrapper(
        optimizer=optimizer, dtype='float16', loss_scale=dict(init_scale=4.0)
    )
    before = layer.weight.detach().cpu().clone()
    with wrapper.optim_context(layer):
        wrapper.update_params(layer(on(3, 2)).sum())
    after = layer.weight.detach().cpu().clone()
    assert not torch.equal(before, after)
    with wrapper.optim_context(layer):
        wrapper.update_params(layer(on(3, 2) * 1e30).sum())
    assert torch.equal(layer.weight.detach().cpu(), after)


def test_modules_keep_their_ties_and_come_back(gpu):
    model = nn.ModuleDict(dict(a=nn.Linear(2, 2), b=nn.Linear(2, 2)))
    model['b'].weight = model['a'].weight
    parameter = model['a'].weight
    model.to(NAME)
    assert model['b'].weight is model['a'].weight is parameter
    assert parameter.device.type == NAME
    clone = copy.deepcopy(model)
    assert clone['a'].weight.device.type == NAME
    buffer = io.BytesIO()
    state = {k: v.cpu() for k, v in model.state_dict().items()}
    torch.save(state, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True).keys() == state.keys()


def test_numpy_is_refused(gpu):
    with pytest.raises(TypeError, match=r'Tensor\.cpu\(\)'):
        on(2).numpy()
    with pytest.raises(TypeError, match='to numpy'):
        np.asarray(on(2))


def test_mmengine_takes_it_for_the_device():
    from mmengine.device import get_device
    from mmengine.runner import autocast

    before = get_device()
    with PretendedGPU():
        from mmengine import device

        assert device.get_device() == NAME
        import mmengine.runner

        with mmengine.runner.autocast(enabled=True, dtype=torch.float16):
            assert torch.is_autocast_enabled(NAME)
            assert torch.get_autocast_dtype(NAME) == torch.float16
    assert device.get_device() == before
    assert mmengine.runner.autocast is autocast
