"""Columns and rows in which W0 and BA all but cancel."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from mmtpr.models.adapters import DoRALinear, WoRALinear
from mmtpr.models.adapters.cancellation import ThinWatch

SIDES = ['in', 'out']


def cancelling(left, side, number=3, kind=WoRALinear, **options):
    """A layer of which ``number`` columns have ``left`` of W0 left."""
    torch.manual_seed(0)
    layer = kind(nn.Linear(96, 80), alpha=2.0, norm_dim=side, **options)
    weight = layer.linear.weight
    with torch.no_grad():
        layer.lora_B.normal_(std=0.1)
        # Rank c belongs to column (or row) c alone.
        for c in range(number):
            if side == 'in':
                layer.lora_A[:, c], layer.lora_A[c, c] = 0, 1
                layer.lora_B[:, c] = -(1 - left) * weight[:, c] / 2
            else:
                layer.lora_B[c], layer.lora_B[c, c] = 0, 1
                layer.lora_A[c] = -(1 - left) * weight[c] / 2
    return layer


def output_in_float64(layer, x):
    """The definition, from the same numbers."""
    wide = copy.deepcopy(layer).double()
    low = wide.lora_B @ wide.lora_A
    direction = wide.beta * wide.linear.weight + wide.alpha * low
    dim = 0 if layer.norm_dim == 'in' else 1
    norm = torch.linalg.vector_norm(direction, dim=dim, keepdim=True)
    gain = wide.magnitude.unsqueeze(dim)
    y = x.double() @ (direction * gain / norm).t() + wide.linear.bias
    return y, {n: p for n, p in wide.named_parameters() if p.requires_grad}


def error(found, wanted):
    return float((found.double() - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize('side', SIDES)
@pytest.mark.parametrize('left', [0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize('kind', [WoRALinear, DoRALinear])
def test_outputs_and_gradients_keep_their_digits(side, left, kind):
    layer = cancelling(left, side, kind=kind)
    x = torch.randn(32, 96)
    weight = torch.randn(32, 80)
    y = layer(x)
    wanted, parameters = output_in_float64(layer, x)
    assert error(y, wanted) < 2e-6
    assert error(x @ layer.merged_weight().t() + layer.bias, wanted) < 2e-6
    names = [*parameters]
    found = torch.autograd.grad(
        (y * weight).sum(), [layer.get_parameter(n) for n in names]
    )
    exact = torch.autograd.grad((wanted * weight).sum(), parameters.values())
    for name, a, b in zip(names, found, exact, strict=True):
        # alpha and beta sum what is large and cancels over all columns.
        limit = 2e-4 if name in ('alpha', 'beta') else 2e-5
        assert error(a, b) < limit, name


@pytest.mark.parametrize('side', SIDES)
def test_only_these_columns_are_rebuilt(side):
    layer = cancelling(0.01, side)
    _, thin = layer._scale()
    assert thin.index.tolist() == [0, 1, 2]
    assert thin.weight.shape == (80 if side == 'in' else 96, 3)
    _, thin = cancelling(0.5, side)._scale()
    assert thin is None


@pytest.mark.parametrize('side', SIDES)
def test_with_dropout_the_parts_see_different_inputs(side):
    layer = cancelling(0.01, side, dropout=0.5).train()
    x = torch.randn(16, 96)
    low = torch.nn.functional.dropout(x, 0.5)
    wide = copy.deepcopy(layer).double()
    scale = wide.scale().detach()
    frozen, up = wide.linear.weight * wide.beta, wide.lora_B * wide.alpha
    down = wide.lora_A
    if side == 'in':
        frozen, down = frozen * scale, down * scale
    else:
        frozen, up = frozen * scale[:, None], up * scale[:, None]
    wanted = x.double() @ frozen.t() + low.double() @ down.t() @ up.t()
    wanted = wanted + wide.linear.bias
    assert error(layer._adapted_forward(x, low), wanted) < 2e-6


@pytest.mark.parametrize('side', SIDES)
def test_half_precision(side):
    layer = cancelling(0.01, side)
    x = torch.randn(32, 96)
    wanted, _ = output_in_float64(layer, x)
    with torch.autocast('cpu', torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    assert error(found, wanted) < 2e-2


def test_a_column_of_nothing_stays_so():
    layer = cancelling(0.0, 'in')
    x = torch.zeros(1, 96)
    x[0, 0] = 1
    y = layer(x)
    torch.testing.assert_close(y[0], layer.linear.bias, atol=1e-5, rtol=0)
    y.sum().backward()
    for parameter in (layer.lora_A, layer.lora_B, layer.magnitude):
        assert torch.isfinite(parameter.grad).all()


def test_vmap_over_layers():
    """Nothing can depend on a mask there; the norms are right all the same."""
    layers = [cancelling(left, 'in').double() for left in (0.001, 0.6)]
    names = ('lora_A', 'lora_B', 'magnitude')
    stacked = {
        n: torch.stack([layer.get_parameter(n) for layer in layers])
        for n in names
    }
    x = torch.randn(4, 96, dtype=torch.float64)
    both = vmap(lambda given: functional_call(layers[0], given, (x,)))(stacked)
    for found, layer in zip(both, layers, strict=True):
        torch.testing.assert_close(found, layer(x), atol=1e-9, rtol=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize('side', SIDES)
def test_on_a_gpu(side):
    layer = cancelling(0.01, side).cuda()
    x = torch.randn(32, 96, device='cuda')
    wanted, _ = output_in_float64(layer, x)
    for mode in (True, False):
        assert error(layer.train(mode)(x), wanted) < 2e-6


class TestThinWatch:
    """Its way on an accelerator, tried with tensors that seem to be there."""

    @pytest.fixture
    def ask(self):
        watch = ThinWatch()

        class Elsewhere(torch.Tensor):
            @property
            def device(self):
                return torch.device('meta')

        def ask(thin, version):
            left = torch.tensor([-1.0 if thin else 1.0, 1.0])
            return watch.any(left.as_subclass(Elsewhere), version)

        return ask

    def test_the_first_answer_is_that_of_now(self, ask):
        assert ask(True, (1,))

    def test_later_answers_are_one_step_late(self, ask):
        steps = [(False, 1), (True, 2), (True, 3), (False, 4), (False, 5)]
        answers = [ask(thin, (version,)) for thin, version in steps]
        assert answers == [False, False, True, True, False]

    def test_a_repeated_pass_takes_the_same_way(self, ask):
        answers = [ask(thin, (v,)) for thin, v in [(0, 1), (1, 2), (1, 2)]]
        assert answers == [False, False, False]
        assert ask(True, (3,))
        assert ask(False, (3,))

    def test_outside_of_training_it_waits(self, ask):
        assert not ask(False, (1,))
        assert ask(True, None)
        assert not ask(False, None)

    def test_a_copy_starts_anew(self):
        watch = ThinWatch()
        watch.any(torch.tensor([-1.0]), None)
        for other in (copy.deepcopy(watch), pickle.loads(pickle.dumps(watch))):
            assert not other._known
