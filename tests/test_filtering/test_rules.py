import numpy as np
import pytest

from mmtpr.filtering import keep_mask

RANKS = np.array([1, 4, 4, 2, 9, 4])
SCORES = np.array([0.9, 0.3, 0.5, 0.8, 0.1, 0.5])


def kept(**rules):
    return np.flatnonzero(keep_mask(RANKS, SCORES, **rules)).tolist()


def test_max_rank_includes_the_rank():
    assert kept(max_rank=4) == [0, 1, 2, 3, 5]
    assert kept(max_rank=3) == [0, 3]
    assert kept(max_rank=1) == [0]


def test_min_score_includes_the_score():
    assert kept(min_score=0.5) == [0, 2, 3, 5]


def test_keep_ratio_by_rank_then_score_then_position():
    assert kept(keep_ratio=1 / 3) == [0, 3]
    assert kept(keep_ratio=0.5) == [0, 2, 3]  # 2 and 5 tie: the first
    assert kept(keep_ratio=4 / 6) == [0, 2, 3, 5]
    assert kept(keep_ratio=1.0) == [0, 1, 2, 3, 4, 5]
    assert kept(keep_ratio=1e-9) == [0]


def test_rules_combine():
    assert kept(keep_ratio=4 / 6, min_score=0.6) == [0, 3]
    assert kept(max_rank=4, min_score=0.4, keep_ratio=0.5) == [0, 2, 3]


def test_pairs_without_finite_score_go():
    mask = keep_mask(np.array([1, 11]), np.array([0.2, -np.inf]), max_rank=99)
    assert mask.tolist() == [True, False]
    mask = keep_mask(np.array([1, 11]), np.array([0.2, -np.inf]), None, 1.0)
    assert mask.tolist() == [True, False]


@pytest.mark.parametrize(
    ('rules', 'message'),
    [
        ({}, 'at least one of max_rank, keep_ratio and min_score'),
        (dict(max_rank=0), 'max_rank must be a whole number from 1 on, got 0'),
        (dict(max_rank=1.5), 'whole number'),
        (dict(keep_ratio=0), 'keep_ratio must be above 0'),
        (dict(keep_ratio=1.01), 'at most 1, got 1.01'),
        (dict(min_score=float('nan')), 'min_score must be a finite number'),
        (dict(max_rank='50'), "whole number from 1 on, got '50'"),
        (dict(max_rank=float('inf')), 'whole number from 1 on, got inf'),
        (dict(keep_ratio='0.8'), "at most 1, got '0.8'"),
        (dict(keep_ratio=True), 'at most 1, got True'),
        (dict(min_score='0'), "must be a finite number, got '0'"),
    ],
)
def test_rules_out_of_range(rules, message):
    with pytest.raises(ValueError, match=message):
        keep_mask(RANKS, SCORES, **rules)
