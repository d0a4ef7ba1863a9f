"""Consensus division as functions."""

import sys

import numpy as np
import pytest

from mmtpr.filtering.consensus import (
    DOUBTFUL,
    RIGHT,
    WRONG,
    Mixture,
    NoDivisionError,
    clean_pairs,
    clean_probability,
    divide_pairs,
    draw_trained,
)


@pytest.fixture
def _mixtures():
    pytest.importorskip('sklearn.mixture')


def two_modes(number=1000, wrong=300, seed=0, shift=0.0):
    """Losses, the first of which are of wrong pairs."""
    rng = np.random.default_rng(seed)
    low = rng.normal(1.0 + shift, 0.2, number)
    low[:wrong] = rng.normal(3.0 + shift, 0.4, wrong)
    return low.astype(np.float32)


@pytest.mark.usefixtures('_mixtures')
class TestOneLoss:
    def test_two_modes_are_told_apart(self):
        losses = two_modes()
        probability = clean_probability(losses, Mixture())
        clean = clean_pairs(probability, losses, Mixture())
        assert clean[300:].mean() > 0.99
        assert clean[:300].mean() < 0.01

    def test_formula(self):
        """The posterior of the component with the lower mean."""
        losses = two_modes()
        found = clean_probability(losses, Mixture(max_iter=200, tol=1e-6))
        scaled = (losses - losses.min()) / (losses.max() - losses.min())
        parts = [(0.7, losses[300:]), (0.3, losses[:300])]
        density = []
        for share, of in parts:
            of = (of - losses.min()) / (losses.max() - losses.min())
            spread = of.std()
            height = share / spread
            density.append(
                height * np.exp(-((scaled - of.mean()) ** 2) / 2 / spread**2)
            )
        wanted = density[0] / sum(density)
        assert np.abs(found - wanted).mean() < 0.01

    def test_scale_and_offset_do_not_matter(self):
        losses = two_modes().astype(np.float64)
        first = clean_probability(losses, Mixture())
        second = clean_probability(losses * 512 + 64, Mixture())
        np.testing.assert_allclose(first, second, atol=1e-8)

    @pytest.mark.parametrize(
        ('losses', 'options', 'reason'),
        [
            (np.full(50, 2.5), {}, 'same value, 2.5, for all'),
            (np.ones(1), {}, 'same value'),
            (np.random.default_rng(0).normal(0, 1, 2000), {}, 'one mode'),
            (
                two_modes(),
                dict(max_iter=1, tol=1e-9),
                'does not converge in 1 iter',
            ),
        ],
    )
    def test_no_two_parts(self, losses, options, reason):
        with pytest.raises(NoDivisionError, match=reason):
            clean_probability(losses, Mixture(**options))


def test_the_worst_hundredth_where_none_is_noisy():
    probability = np.linspace(0.6, 0.9, 250)
    losses = np.arange(250.0)
    clean = clean_pairs(probability, losses, Mixture())
    assert np.flatnonzero(~clean).tolist() == [0, 1, 2]
    same = np.full(250, 0.9)
    clean = clean_pairs(same, losses, Mixture())
    assert np.flatnonzero(~clean).tolist() == [247, 248, 249]
    probability[7] = 0.5  # one is noisy: no other is called so
    clean = clean_pairs(probability, losses, Mixture())
    assert np.flatnonzero(~clean).tolist() == [7]


@pytest.mark.usefixtures('_mixtures')
class TestConsensus:
    def test_classes(self):
        first, second = two_modes(), two_modes(wrong=200, seed=1)
        division = divide_pairs(dict(bge=first, tse=second), Mixture())
        assert division.voters == ['bge', 'tse']
        assert not division.silent
        for part, wanted in (
            (slice(0, 200), WRONG),
            (slice(200, 300), DOUBTFUL),
            (slice(300, 1000), RIGHT),
        ):
            assert (division.classes[part] == wanted).mean() > 0.97

    def test_one_loss_is_a_consensus_of_one(self):
        classes = divide_pairs(dict(tal=two_modes()), Mixture()).classes
        assert set(classes.tolist()) == {WRONG, RIGHT}

    def test_a_loss_without_two_modes_has_no_vote(self):
        losses = dict(tal=two_modes(), flat=np.ones(1000))
        division = divide_pairs(losses, Mixture())
        assert division.voters == ['tal']
        assert [*division.silent] == ['flat']
        alone = divide_pairs(dict(tal=two_modes()), Mixture())
        assert (division.classes == alone.classes).all()

    def test_without_votes_all_pairs_are_right(self):
        division = divide_pairs(dict(flat=np.ones(9)), Mixture())
        assert division.voters == []
        assert (division.classes == RIGHT).all()


def test_the_coin():
    classes = np.repeat(np.uint8([WRONG, DOUBTFUL, RIGHT]), 1000)
    trains = [draw_trained(classes, seed) for seed in (1, 1, 2)]
    for drawn in trains:
        assert not drawn[:1000].any()
        assert 400 < drawn[1000:2000].sum() < 600
        assert drawn[2000:].all()
    assert (trains[0] == trains[1]).all()
    assert (trains[0] != trains[2]).any()


@pytest.mark.parametrize(
    'options',
    [
        dict(threshold=1.0),
        dict(worst=-0.1),
        dict(max_iter=0),
        dict(tol=0),
        dict(reg_covar=-1),
        dict(threshold='0.5'),
        dict(worst=None),
        dict(max_iter='10'),
        dict(tol='0.01'),
        dict(reg_covar='0'),
    ],
)
def test_settings_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Mixture(**options)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.mixture', None)
    with pytest.raises(ImportError, match=r'pip install "mmtpr\[filtering\]"'):
        clean_probability(two_modes(), Mixture())
