"""The model is asked which pairs train."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from selection_runs import (
    NUMBER,
    build,
    by_epoch,
    selection,
    selection_cfg,
    train,
    write_pairs,
)

from mmtpr.engine import PairSelectionHook
from mmtpr.engine.dataset_losses import dataset_losses, plan_batches
from mmtpr.engine.resume import find_resume_checkpoint
from mmtpr.filtering import RelevanceScores, read_pairs, save_scores
from mmtpr.registry import DATASETS
from mmtpr.testing import (
    tiny_swin_bert_cfg,
    write_tiny_vocab,
)
from mmtpr.utils.errors import LaunchError, NonFiniteLossError


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('pairs'))


def scalars(folder):
    path = next(Path(folder).glob('*/vis_data/scalars.json'))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_batches_are_planned_from_the_whole_set():
    plan = plan_batches(NUMBER, 16, seed=1)
    assert plan.shape == (5, 16)
    flat = plan.reshape(-1)
    assert sorted(flat[:NUMBER]) == [*range(NUMBER)]
    assert flat[NUMBER:].tolist() == flat[: 80 - NUMBER].tolist()
    assert (plan == plan_batches(NUMBER, 16, seed=1)).all()
    assert (plan != plan_batches(NUMBER, 16, seed=2)).any()
    assert plan_batches(3, 16, seed=0).shape == (1, 3)


def test_marks_of_each_epoch(data, tmp_path):
    runner = train(data, tmp_path)
    marks = by_epoch(runner)
    assert [*marks] == [0, 1, 2]
    hook = selection(runner)
    assert len(marks[2]) == NUMBER
    assert [marks[2][i] for i in range(NUMBER)] == hook._trained.tolist()
    assert marks[0] != marks[1]
    wrong = np.flatnonzero(hook._classes == 0)
    right = np.flatnonzero(hook._classes == 2)
    assert len(wrong) == len(right) - 1 == NUMBER // 3
    assert not any(marks[2][i] for i in wrong)
    assert all(marks[2][i] for i in right)
    logged = [line for line in scalars(tmp_path) if 'pairs_right' in line]
    assert logged
    counts = np.bincount(hook._classes, minlength=3)
    for kind, number in zip(
        ('wrong', 'doubtful', 'right'), counts, strict=True
    ):
        assert logged[-1][f'pairs_{kind}'] == number
    assert logged[-1]['pairs_trained'] == hook._trained.sum()


def test_losses_are_those_of_the_model_at_rest(data, tmp_path):
    """No gradient, no chance, every module as it was, equal twice."""
    runner = build(selection_cfg(data, tmp_path))
    loader = Runner.build_dataloader(runner.train_dataloader, seed=0)
    runner.model.train()
    runner.model.encoder.clip.visual.eval()  # as where a tower is frozen
    before = [module.training for module in runner.model.modules()]
    state = torch.get_rng_state()
    given = runner.model, loader.dataset, loader
    one = dataset_losses(*given, batch_size=16, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in runner.model.modules()] == before
    assert all(p.grad is None for p in runner.model.parameters())
    assert {name: v.shape for name, v in one.items()} == {
        'tal': (NUMBER,),
        'itc': (NUMBER,),
    }
    again = dataset_losses(*given, batch_size=16, seed=4)
    other = dataset_losses(*given, batch_size=16, seed=5)
    for name, values in one.items():
        assert (values == again[name]).all()
        assert (values != other[name]).any()
        assert len(np.unique(values)) > NUMBER / 2


def test_gradients_leave_out_what_does_not_train(data, tmp_path):
    """A set of which nothing trains leaves the weights alone."""

    def nothing(self, runner, now):
        self._trained = np.zeros(NUMBER, dtype=bool)

    runner = build(selection_cfg(data, tmp_path, epochs=1))
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairSelectionHook, '_choose', nothing)
        runner.train()
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_start_and_interval(data, tmp_path):
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            'mmtpr.engine.hooks.pair_selection.dataset_losses',
            lambda *a, **k: lines.append(1) or dataset_losses(*a, **k),
        )
        runner = train(
            data, tmp_path, epochs=5, selection=dict(start=1, interval=2)
        )
    marks = by_epoch(runner)
    assert len(lines) == 2  # before epochs 1 and 3
    assert set(marks[0].values()) == {1}
    for now, then in ((1, 2), (3, 4)):
        assert 0 in marks[now].values()
        # The same classes, other coins.
        assert marks[now] != marks[then]
        same = sum(marks[now][i] == marks[then][i] for i in range(NUMBER))
        assert same > NUMBER / 2


class Bfloat16(OptimWrapper):
    """As AmpOptimWrapper of mmengine, which wants an accelerator."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu'):
            yield


def test_mixed_precision(data, tmp_path):
    """The pass computes in the precision of the training."""
    runner = build(selection_cfg(data, tmp_path))
    loader = Runner.build_dataloader(runner.train_dataloader, seed=0)
    wrapper = Bfloat16(torch.optim.SGD(runner.model.parameters(), lr=0.0))
    given = runner.model, loader.dataset, loader
    full = dataset_losses(*given, batch_size=16)
    half = dataset_losses(*given, wrapper, batch_size=16)
    for name, values in full.items():
        assert (values != half[name]).any()
        np.testing.assert_allclose(values, half[name], rtol=0.1, atol=0.05)


def test_a_cross_modal_retriever(data, tmp_path):
    pytest.importorskip('transformers')
    losses = dict(
        itc=dict(type='mmtpr.ITCLoss', positives='pid'),
        itm=dict(type='mmtpr.ITMLoss', positives='pid'),
    )
    cfg = selection_cfg(data, tmp_path, epochs=2)
    vocab = write_tiny_vocab(tmp_path / 'vocab.txt')
    words = dict(type='mmtpr.TokenizeBert', vocab=vocab, max_length=16)
    dataset = cfg['train_dataloader']['dataset']
    places = (dataset, 'plain_pipeline'), (dataset['dataset'], 'pipeline')
    for node, key in places:
        first, *_, last = node[key]
        node[key] = [first, words, last]
    cfg['model'] = dict(
        type='mmtpr.CrossModalPersonRetriever',
        encoder=tiny_swin_bert_cfg(),
        losses=losses,
    )
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmtpr.engine.hooks.pair_selection.warn', lines.append)
        runner = build(cfg)
        runner.train()
    assert len(lines) == 1
    assert 'left out of itc alone: itm go on to learn' in lines[0]
    assert set(selection(runner)._classes.tolist()) == {0, 1, 2}
    assert 0 in by_epoch(runner)[1].values()


def test_consensus_division(data, tmp_path):
    pytest.importorskip('sklearn.mixture')
    selector = dict(type='mmtpr.ConsensusDivision')
    runner = train(data, tmp_path, epochs=2, selector=selector)
    hook = selection(runner)
    assert len(hook._classes) == NUMBER
    assert set(by_epoch(runner)[1].values()) <= {0, 1}


class TestMistakes:
    def test_losses_of_no_single_pairs(self, data, tmp_path):
        losses = dict(sdm=dict(type='mmtpr.SDMLoss'))
        runner = build(selection_cfg(data, tmp_path, losses=losses))
        with pytest.raises(
            LaunchError,
            match=r'Thirds has no use here\. None of the losses',
        ):
            runner.train()

    def test_without_the_hook(self, data, tmp_path):
        cfg = selection_cfg(data, tmp_path)
        del cfg['custom_hooks']
        with pytest.raises(ValueError, match=r'mmtpr\.PairSelectionHook'):
            build(cfg).train()

    def test_another_dataset(self, data, tmp_path):
        cfg = selection_cfg(data, tmp_path)
        loader = cfg['train_dataloader']
        loader['dataset'] = loader['dataset']['dataset']
        with pytest.raises(LaunchError, match='training set is a CUHKPEDES'):
            build(cfg).train()

    def test_a_checkpoint_of_other_data(self, data, tmp_path):
        train(data, tmp_path, epochs=1)
        cfg = selection_cfg(data, tmp_path)
        cfg.update(resume=True, load_from=find_resume_checkpoint(tmp_path))
        cfg['train_dataloader']['dataset']['dataset']['indices'] = 60
        with pytest.raises(LaunchError, match='of 68 pairs, but the training'):
            build(cfg).train()

    def test_losses_that_are_no_numbers(self, data, tmp_path):
        runner = build(selection_cfg(data, tmp_path))
        with torch.no_grad():
            next(runner.model.encoder.parameters()).fill_(float('nan'))
        with pytest.raises(NonFiniteLossError, match=r'\(68 of "tal", 68 of'):
            runner.train()

    @pytest.mark.parametrize(
        'options',
        [
            *(dict(start=-1), dict(interval=0), dict(batch_size=1)),
            *(dict(start=1.5), dict(interval=1.5), dict(batch_size='a')),
        ],
    )
    def test_settings(self, options):
        name = next(iter(options))
        with pytest.raises(ValueError, match=f'{name} must be a whole'):
            PairSelectionHook(**options)


def test_idle_with_scores(data, tmp_path):
    """Scores on disk need no model; the hook may stay in the config."""
    cfg = selection_cfg(data, tmp_path, epochs=1)
    dataset = cfg['train_dataloader']['dataset']
    pairs = read_pairs(DATASETS.build(dataset['dataset']))
    facts = dict(fingerprint=pairs.fingerprint, name='x', length=NUMBER)
    scores = RelevanceScores(
        np.arange(NUMBER) + 1,
        np.zeros(NUMBER),
        dict(version=1, data=facts, scorer={}, bank=dict(size=1000)),
    )
    save_scores(tmp_path / 'scores.npz', scores)
    dataset['selector'] = dict(
        type='mmtpr.ScoreSelector',
        scores=str(tmp_path / 'scores.npz'),
        max_rank=30,
    )
    runner = build(cfg)
    runner.train()
    marks = by_epoch(runner)[0]
    assert [marks[i] for i in range(NUMBER)] == [1] * 30 + [0] * 38
