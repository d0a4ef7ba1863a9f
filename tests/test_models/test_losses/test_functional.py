"""The pure losses: parity with the released code, and the edges."""

import numpy as np
import pytest
import torch

from mmtpr.models.losses import cmpm_loss, id_loss, itc_loss, sdm_loss


@pytest.fixture
def case(parity_file):
    with np.load(parity_file('dual_losses.npz')) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def _run(case, name, image, text):
    scale = float(case['logit_scale'])
    if name == 'sdm':
        return sdm_loss(image, text, case['pid'], scale)
    if name == 'itc':
        return itc_loss(image, text, scale)
    return cmpm_loss(image, text, case['pid'])


@pytest.mark.parametrize('name', ['sdm', 'itc', 'cmpm'])
def test_values_and_gradients_match_the_reference(case, name):
    image = case['image'].requires_grad_()
    text = case['text'].requires_grad_()
    loss = _run(case, name, image, text)
    loss.backward()
    assert loss.item() == pytest.approx(case[name].item(), rel=1e-6)
    for grad, wanted in (
        (image.grad, f'{name}_gi'),
        (text.grad, f'{name}_gt'),
    ):
        torch.testing.assert_close(grad, case[wanted], atol=1e-5, rtol=1e-5)


def test_id_loss_matches_the_reference(case):
    loss = id_loss(case['image_logits'], case['text_logits'], case['pid'])
    assert loss.item() == pytest.approx(case['id'].item(), rel=1e-6)


@pytest.mark.parametrize('name', ['sdm', 'itc', 'cmpm'])
def test_autocast_does_not_change_a_loss(case, name):
    image, text = case['image'], case['text']
    with torch.autocast('cpu', torch.bfloat16):
        inside = _run(case, name, image, text)
    assert inside.dtype == torch.float32
    assert inside.item() == _run(case, name, image, text).item()


def test_half_features_are_cast_up(case):
    image, text = case['image'].half(), case['text'].half()
    loss = _run(case, 'sdm', image, text)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(case['sdm'].item(), rel=1e-2)


@pytest.mark.parametrize('name', ['sdm', 'cmpm'])
def test_rows_and_columns_may_differ(case, name):
    """A rectangle of all pairs equals the square when it is the square."""
    image, text, pid = case['image'], case['text'], case['pid']
    extra = (50.0,) if name == 'sdm' else ()
    function = {'sdm': sdm_loss, 'cmpm': cmpm_loss}[name]
    square = function(image, text, pid, *extra)
    same = function(image, text, pid, *extra, text_pids=pid)
    assert same.item() == square.item()
    part = function(image[:6], text, pid[:6], *extra, text_pids=pid)
    assert torch.isfinite(part)
    with pytest.raises(ValueError, match='6 images and 24 texts'):
        function(image[:6], text, pid[:6], *extra)


def test_itc_with_ids_spreads_the_target():
    image = torch.eye(3)
    text = torch.eye(3)
    plain = itc_loss(image, text, 1.0)
    unique = itc_loss(image, text, 1.0, torch.arange(3))
    assert unique.item() == pytest.approx(plain.item())
    shared = itc_loss(image, text, 1.0, torch.tensor([0, 0, 1]))
    # Rows 0 and 1: half of the target lies on a cosine of 0 instead of 1.
    assert shared.item() == pytest.approx(plain.item() + 2 * 0.5 / 3)
    rectangle = itc_loss(
        image[:2], text, 1.0, torch.tensor([0, 1]), torch.arange(3)
    )
    assert torch.isfinite(rectangle)


def test_the_scale_gets_a_gradient(case):
    scale = torch.tensor(50.0, requires_grad=True)
    sdm_loss(case['image'], case['text'], case['pid'], scale).backward()
    assert scale.grad.abs() > 0


@pytest.mark.parametrize('pid', [-1, 9])
def test_a_pid_outside_the_classes_is_named(case, pid):
    pids = case['pid'].clone()
    pids[3] = pid
    with pytest.raises(ValueError, match='contiguous') as error:
        id_loss(case['image_logits'], case['text_logits'], pids)
    message = str(error.value)
    assert str(pid) in message
    assert 'relabel_pids=True' in message
    assert 'num_classes=9' in message


@pytest.mark.gpu
def test_losses_on_a_gpu_match_those_on_a_cpu(case):
    for name in ('sdm', 'itc', 'cmpm'):
        here = _run(case, name, case['image'], case['text'])
        moved = {k: v.cuda() for k, v in case.items()}
        there = _run(moved, name, moved['image'], moved['text'])
        assert there.item() == pytest.approx(here.item(), rel=1e-4)


@pytest.mark.parametrize('loss', [sdm_loss, itc_loss, cmpm_loss])
class TestIds:
    """Ids are never stretched to the size of a batch."""

    def call(self, loss, image, text, ids, text_ids=None):
        if loss is cmpm_loss:
            return loss(image, text, ids, text_ids)
        if loss is itc_loss:
            return loss(image, text, 10.0, ids, text_ids)
        return loss(image, text, ids, 10.0, text_ids)

    def test_one_id_for_many(self, loss):
        feats = torch.randn(3, 4)
        match = r'one id for each of the 3 images, got ids of shape \(1,\)'
        with pytest.raises(ValueError, match=match):
            self.call(loss, feats, feats, torch.tensor([7]))
        with pytest.raises(ValueError, match='of the 3 texts'):
            self.call(
                loss, feats, feats, torch.arange(3), torch.tensor([[1], [2]])
            )

    def test_an_empty_batch(self, loss):
        none = torch.zeros(0, 4)
        with pytest.raises(ValueError, match='0 images and 0 texts'):
            self.call(loss, none, none, torch.zeros(0).long())
