"""TAL and TRL: parity with the released code, and the edges."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtpr.models.losses import (
    PairwiseLoss,
    RetrievalFeatures,
    tal_loss,
    trl_loss,
)
from mmtpr.registry import MODELS
from mmtpr.utils.warn import heard_warnings

LOSSES = dict(tal=tal_loss, trl=trl_loss)


@pytest.fixture
def case(parity_file):
    with np.load(parity_file('rde.npz')) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def _run(case, name, **kwargs):
    given = case['image'], case['text'], case['pid']
    numbers = float(case['tau']), float(case['margin'])
    return LOSSES[name](*given, *numbers, **kwargs)


def _built(name, **kwargs):
    return MODELS.build(dict(type=f'mmtpr.{name.upper()}Loss', **kwargs))


def _features(case, **kwargs):
    given = case['image'], case['text'], case['pid']
    return RetrievalFeatures(*given, **kwargs)


@pytest.mark.parametrize('name', LOSSES)
def test_losses_of_pairs_match_the_reference(case, name):
    losses = _run(case, name, reduction='none')
    torch.testing.assert_close(losses, case[name], atol=1e-5, rtol=1e-5)
    assert (losses > 0.01).sum() >= 1


@pytest.mark.parametrize('name', LOSSES)
def test_gradients_of_the_pairs_that_count_match_the_reference(case, name):
    image = case['image'].requires_grad_()
    text = case['text'].requires_grad_()
    total = _run(case, name, label_hat=case['label_hat'])
    total.backward()
    wanted = (case[name] * case['label_hat']).sum().item()
    assert total.item() == pytest.approx(wanted, rel=1e-5)
    for grad, key in ((image.grad, 'gimage'), (text.grad, 'gtext')):
        torch.testing.assert_close(
            grad, case[f'{name}_{key}'], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize('name', LOSSES)
def test_the_registered_loss_sums_what_counts(case, name):
    loss = _built(name, weight=0.5)
    assert isinstance(loss, PairwiseLoss)
    assert loss.across_processes
    features = _features(case, label_hat=case['label_hat'].long())
    wanted = (case[name] * case['label_hat']).sum().item()
    assert loss(features).item() == pytest.approx(wanted / 2, rel=1e-5)
    # Without label_hat all count; the losses of pairs know of no label.
    total = case[name].sum().item()
    whole = loss(_features(case)).item()
    assert whole == pytest.approx(total / 2, rel=1e-5)
    pairs = loss.pair_losses(features)
    torch.testing.assert_close(pairs, case[name], atol=1e-5, rtol=1e-5)
    mean = _built(name, reduction='mean')(features).item()
    number = int(case['label_hat'].sum())
    assert mean == pytest.approx(wanted / number, rel=1e-5)


@pytest.mark.parametrize('name', LOSSES)
def test_the_temperature_of_the_retriever_has_no_part(case, name):
    values = [_built(name)(_features(case, scale=s)) for s in (1.0, 50.0)]
    assert values[0] == values[1]
    assert not _built(name).trains_scale
    other = _built(name, temperature=0.5, margin=0.3)(_features(case))
    assert other != values[0]


@pytest.mark.parametrize('name', LOSSES)
def test_half_features_and_autocast(case, name):
    wanted = _run(case, name).item()
    with torch.autocast('cpu', torch.bfloat16):
        inside = _run(case, name)
    assert inside.dtype == torch.float32
    assert inside.item() == wanted
    half = dict(case, image=case['image'].half(), text=case['text'].half())
    loss = _run(half, name)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted, rel=1e-2)


def test_a_soft_maximum_does_not_overflow():
    """exp(1 / 0.001) is infinite in float32, its logarithm is not."""
    feats = torch.randn(4, 8)
    image, text = feats, feats.roll(1, 0).requires_grad_()
    loss = tal_loss(image, text, torch.arange(4), temperature=1e-3)
    loss.backward()
    hardest = trl_loss(image, text, torch.arange(4), temperature=1e-3)
    assert loss.item() == pytest.approx(hardest.item(), rel=1e-2)
    assert torch.isfinite(text.grad).all()


def test_a_pair_that_does_not_count_is_still_a_negative(case):
    """Its features get a gradient by the losses of others."""
    text = case['text'].requires_grad_()
    label_hat = torch.ones(12)
    label_hat[3] = 0
    _run(case, 'tal', label_hat=label_hat).backward()
    assert text.grad[3].abs().max() > 0


@pytest.mark.parametrize('name', LOSSES)
def test_no_pair_that_counts(case, name):
    image = case['image'].requires_grad_()
    for reduction in ('sum', 'mean'):
        none = torch.zeros(12)
        loss = _run(case, name, label_hat=none, reduction=reduction)
        loss.backward()
        assert loss.item() == 0
    assert image.grad.abs().max() == 0


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('number', [1, 5])
def test_a_batch_of_one_id_is_zero_and_has_a_gradient(name, number):
    image = torch.randn(number, 8, requires_grad=True)
    loss = LOSSES[name](image, torch.randn(number, 8), torch.ones(number))
    loss.backward()
    assert loss.item() == 0
    assert image.grad.abs().max() == 0


@pytest.mark.parametrize('name', LOSSES)
def test_a_batch_of_one_id_is_told_once(name):
    loss = _built(name)
    batch = dict(pid=torch.full((5,), 7), pid_range=(7, 7))
    with heard_warnings() as lines:
        loss.prepare(dict(batch, pid_range=(3, 7)))
        assert not lines
        loss.prepare(batch)
        loss.prepare(batch)
    assert len(lines) == 1
    assert 'All 5 pairs of a batch of this process have the id 7' in lines[0]
    assert f'{type(loss).__name__} is 0' in lines[0]


def test_the_formula_by_hand():
    """One row, written out: two positives, one of them another's caption."""
    scores = torch.tensor([[0.9, 0.5, 0.2], [0.4, 0.8, 0.3], [0.1, 0.0, 0.7]])
    image = torch.eye(3)
    # Captions whose cosines with the axes are these, by a fourth axis.
    image = F.pad(image, (0, 3))
    rest = (1 - scores.square().sum(1)).clamp(min=0).sqrt()
    text = torch.cat([scores, torch.diag(rest)], dim=1)
    scores = F.normalize(text, dim=1)[:, :3]
    pids, tau, margin = torch.tensor([0, 0, 1]), 0.1, 0.2
    a = (scores[0, :2] / tau).softmax(0)
    row = margin - a @ scores[0, :2] + scores[0, 2]
    b = (scores[:2, 0] / tau).softmax(0)
    column = margin - b @ scores[:2, 0] + scores[2, 0]
    wanted = row.clamp(min=0) + column.clamp(min=0)
    losses = tal_loss(image, text, pids, tau, margin, reduction='none')
    # With one negative the soft maximum is that negative.
    assert losses[0].item() == pytest.approx(wanted.item(), abs=1e-6)


class TestBadInput:
    def test_arguments(self, case):
        with pytest.raises(ValueError, match='temperature must be > 0'):
            _built('tal', temperature=0)
        with pytest.raises(ValueError, match='margin must be >= 0'):
            _built('trl', margin=-1)
        with pytest.raises(ValueError, match="reduction must be 'sum'"):
            _built('tal', reduction='median')
        with pytest.raises(ValueError, match=r'pair_losses\(\)'):
            _built('tal', reduction='none')
        with pytest.raises(ValueError, match='reduction must be'):
            _run(case, 'tal', reduction='all')

    def test_shapes(self, case):
        with pytest.raises(ValueError, match='each of the 12 pairs'):
            _run(case, 'tal', label_hat=torch.ones(3))
        with pytest.raises(ValueError, match='one id for each of the 12'):
            tal_loss(case['image'], case['text'], torch.arange(3))
        with pytest.raises(ValueError, match='12 images and 3 texts'):
            tal_loss(case['image'], case['text'][:3], case['pid'])
        empty = torch.zeros(0, 4)
        with pytest.raises(ValueError, match='0 images and 0 texts'):
            trl_loss(empty, empty, torch.zeros(0).long())
