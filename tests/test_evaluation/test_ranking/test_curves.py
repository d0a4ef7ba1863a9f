"""CMC and precision-recall curves against loops over queries."""

import math

import numpy as np
import pytest
import torch

from mmtpr.evaluation import (
    Ranking,
    cmc_curve,
    precision_recall_curve,
    ranks_of_positives,
)

pytestmark = pytest.mark.smoke


def ranking(seed=0, levels=None):
    """23 queries of 9 ids, three of which have nobody in the gallery."""
    rng = np.random.default_rng(seed)
    similarity = rng.standard_normal((23, 60))
    if levels:
        similarity = np.round(similarity * levels)
    return ranks_of_positives(
        similarity, np.arange(23) % 9, rng.integers(0, 6, 60)
    )


def lists_of(found):
    """Ranks of each query that has positives."""
    lists = [
        found.ranks[found.rows == q].tolist() for q in range(found.num_queries)
    ]
    return [ranks for ranks in lists if ranks]


@pytest.mark.parametrize('levels', [None, 1])
def test_cmc(levels):
    found = ranking(levels=levels)
    lists = lists_of(found)
    assert len(lists) < 23
    curve = cmc_curve(found.per_query()['first'], 70)
    expected = [
        100 * sum(ranks[0] <= k for ranks in lists) / len(lists)
        for k in range(1, 71)
    ]
    assert curve.tolist() == pytest.approx(expected)
    assert curve[-1] == 100
    numbers = found.metrics((1, 5, 10))
    for k in (1, 5, 10):
        assert numbers[f'R@{k}'] == pytest.approx(curve[k - 1].item())


@pytest.mark.parametrize('num_levels', [1, 7, 100])
@pytest.mark.parametrize('levels', [None, 1])
def test_precision_at_recall(levels, num_levels):
    found = ranking(1, levels)
    recall, precision = precision_recall_curve(found, num_levels)
    lists = lists_of(found)
    for j, value in enumerate(precision.tolist(), 1):
        rows = []
        for ranks in lists:
            i = next(
                i
                for i in range(1, len(ranks) + 1)
                if i * num_levels >= j * len(ranks)
            )
            rows.append(i / ranks[i - 1])
        assert value == pytest.approx(100 * sum(rows) / len(rows))
        assert recall[j - 1] == pytest.approx(100 * j / num_levels)


def test_the_area_below_is_map():
    found = ranking(2)
    counts = {len(ranks) for ranks in lists_of(found)}
    _, precision = precision_recall_curve(found, math.lcm(*counts))
    assert precision.mean() == pytest.approx(found.metrics()['mAP'])


def test_what_has_no_curve():
    nothing = Ranking(torch.zeros(0).long(), torch.zeros(0).long(), 2)
    with pytest.raises(ValueError, match='No query has a positive'):
        precision_recall_curve(nothing)
    with pytest.raises(ValueError, match='No query has a positive'):
        cmc_curve(nothing.per_query()['first'])
    with pytest.raises(ValueError, match='max_rank must be at least 1, got 0'):
        cmc_curve(torch.ones(2), 0)
    with pytest.raises(ValueError, match='num_levels must be at least 1'):
        precision_recall_curve(ranking(), 0)


@pytest.mark.parametrize('wrong', [0.0, -1.0, 1.5])
def test_ranks_that_are_none(wrong):
    with pytest.raises(ValueError, match='whole numbers from 1 on'):
        cmc_curve(torch.tensor([1.0, wrong]), 3)
