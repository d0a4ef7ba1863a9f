"""Gathered features: two processes compute what one would."""

import importlib.util
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]

WORKER = ROOT / 'tests/helpers/gather_worker.py'


def _reference():
    spec = importlib.util.spec_from_file_location('gather_worker', WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return worker.run_all()


@pytest.fixture(scope='module')
def runs(run_together, tmp_path_factory):
    """Results of one process and of two."""
    folder = tmp_path_factory.mktemp('gather')
    run_together(*([WORKER, rank, 2, folder] for rank in range(2)))
    two = torch.load(folder / 'two.pt', weights_only=True)
    return _reference(), two


def _check_equal(got, wanted, skip=()):
    assert wanted.keys() == got.keys()
    for name in wanted.keys() - set(skip):
        scale = wanted[name].abs().max().item()
        torch.testing.assert_close(
            got[name],
            wanted[name],
            atol=1e-5 * max(scale, 1e-2),
            rtol=1e-4,
            msg=lambda text, name=name: f'{name}: {text}',
        )


@pytest.mark.dist
def test_gradients_of_two_processes_equal_those_of_one(runs):
    one, two = runs
    wanted, got = one['gathered'], two['gathered']
    assert 'logit_scale' in wanted
    assert 'losses.id.classifier.weight' in wanted
    # The mean over ranks is the loss of the whole batch.
    _check_equal(got, wanted, skip=['loss_id'])
    # Without gathering each process sees fewer pairs: another gradient.
    torch.testing.assert_close(one['local'], one['gathered'])
    name = 'encoder.clip.visual.proj'
    gap = (two['local'][name] - wanted[name]).abs().max()
    assert gap > 0.05 * wanted[name].abs().max()


@pytest.mark.dist
def test_parts_on_two_processes_equal_one_batch_on_one(runs):
    one, two = runs
    for run in runs:
        skip = ['loss_id'] if run is two else []
        _check_equal(run['accumulated'], one['gathered'], skip=skip)


@pytest.mark.dist
def test_losses_of_selected_tokens_see_the_pairs_of_all_processes(runs):
    one, two = (run['necks'] for run in runs)
    _check_equal(two, one)
    assert one['loss_tse'] > 0
    assert one['necks.tse.text.hidden.weight'].abs().max() > 0


@pytest.mark.dist
@pytest.mark.parametrize('kind', ['fafa', 'inversion'])
def test_composed_losses_see_the_triplets_of_all_processes(runs, kind):
    one, two = (run[kind] for run in runs)
    _check_equal(two, one)
    losses = {
        'fafa': ('loss_fda', 'loss_fd', 'loss_mfr', 'loss_cpl'),
        'inversion': ('loss_text', 'loss_vis'),
    }[kind]
    assert all(one[name] > 0 for name in losses)
    assert one['query.tinets.0.fc_out.weight'].abs().max() > 0
    assert ('head.temperature' in one) == (kind == 'fafa')
    encoder = [name for name in one if name.startswith('encoder.')]
    assert bool(encoder) == (kind == 'fafa')


@pytest.mark.dist
def test_a_process_may_have_one_group_if_another_has_a_second(runs):
    one, two = (run['alone'] for run in runs)
    _check_equal(two, one)
    for run in runs:
        assert run['refusal'].startswith('All 8 samples of this batch have')


def test_rows_of_any_shape_come_back_in_their_order(monkeypatch):
    from mmtpr.models.retrievers import gather

    monkeypatch.setattr(gather, 'get_world_size', lambda: 2)
    monkeypatch.setattr(gather, 'all_gather', lambda rows: [rows, rows + 1])
    ids, more = torch.arange(3), torch.arange(3) + 7
    vectors, tokens = torch.randn(3, 4), torch.randn(3, 5, 2).double()
    tokens.requires_grad_()
    got = gather.gather_rows(ids, vectors, more, tokens)
    for wide, own in zip(got, (ids, vectors, more, tokens), strict=True):
        own = own if own.dtype == torch.long else own.float()
        assert wide.dtype == own.dtype
        torch.testing.assert_close(wide, torch.cat([own, own + 1]))
    # The gradient is that of the own rows, times the number of processes.
    got[3].sum().backward()
    assert torch.equal(tokens.grad, torch.full_like(tokens, 2.0))
