"""Fusion of matching scores and cosines against plain code."""

import pytest
import torch
import torch.nn.functional as F

from mmtpr.evaluation import (
    FusedScores,
    Fusion,
    rank_metrics,
    rank_reranked,
    top_candidates,
)


@pytest.fixture
def data():
    """23 queries, 31 items of 7 persons, 6 candidates with scores."""
    generator = torch.Generator().manual_seed(0)
    query = F.normalize(torch.randn(23, 8, generator=generator), dim=-1)
    gallery = F.normalize(torch.randn(31, 8, generator=generator), dim=-1)
    index = top_candidates(query, gallery, 6)
    matching = 4 * torch.randn(23, 6, generator=generator)
    return query, gallery, index, matching


def whole(scores):
    return torch.cat([block for _, block in scores])


def minmax(values):
    return (values - values.min()) / (values.max() - values.min())


def released(query, gallery, index, matching, processes):
    """Each process in turn, all in float32, added up at the end."""
    total = torch.zeros(len(query), len(gallery))
    cosine = minmax(query @ gallery.t())
    step = len(query) // processes + 1
    for process in range(processes):
        table = torch.full_like(total, 1000.0)
        rows = range(process * step, min((process + 1) * step, len(query)))
        for row in rows:
            table[row, index[row]] = matching[row]
            others = table[row] == 1000
            table[row, others] = matching[row].min()
        total += minmax(table) + 0.002 * cosine
    return total


def test_candidates_are_the_best_by_cosine(data):
    query, gallery, index, _ = data
    cosine = query @ gallery.t()
    assert torch.equal(index, cosine.topk(6).indices)
    every = top_candidates(query, gallery, 100)
    assert every.sort().values.tolist() == [list(range(31))] * 23
    with pytest.raises(ValueError, match='num_candidates must be at least 1'):
        top_candidates(query, gallery, 0)


def test_published_rule(data):
    query, gallery, index, _ = data
    found = whole(FusedScores(*data))
    expected = released(*data, processes=1)
    assert found.dtype == torch.float64
    assert torch.allclose(found, expected.double(), atol=1e-6)
    order = found.argsort(descending=True)
    by_cosine = (query @ gallery.t()).argsort(descending=True)
    for row in range(23):  # candidates first, then the rest by cosine
        assert set(order[row, :6].tolist()) == set(index[row].tolist())
        assert order[row, 6:].tolist() == by_cosine[row, 6:].tolist()
    blocks = FusedScores(*data, chunk_size=5)
    assert [start for start, _ in blocks] == [0, 5, 10, 15, 20]
    assert torch.equal(whole(blocks), found)


def test_weights(data):
    query, gallery, index, matching = data
    only_cosine = whole(FusedScores(*data, Fusion(0.0, 2.0)))
    cosine = (query @ gallery.t()).double()
    assert torch.allclose(only_cosine, 2 * minmax(cosine), atol=1e-6)
    only_matching = whole(FusedScores(*data, Fusion(3.0, 0.0)))
    own = only_matching.gather(1, index)
    assert torch.allclose(own, 3 * minmax(matching.double()))
    assert torch.equal(only_matching.amin(1), own.amin(1))
    with pytest.raises(ValueError, match='cosine_weight must not be negat'):
        Fusion(cosine_weight=-1)
    with pytest.raises(ValueError, match='compat_world_size must be at least'):
        Fusion(compat_world_size=0)


@pytest.mark.parametrize('processes', [1, 2, 3, 8])
def test_what_the_release_prints_on_n_gpus(data, processes):
    fusion = Fusion(compat_world_size=processes)
    scores = FusedScores(*data, fusion)
    found = whole(scores)
    expected = released(*data, processes)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-6)
    ids = torch.arange(23) % 7, torch.arange(31) % 7
    ranking, _ = rank_reranked(scores, *ids)
    assert ranking.metrics() == pytest.approx(rank_metrics(expected, *ids))


def test_the_number_of_gpus_changes_what_the_release_prints(data):
    one, two = (
        whole(FusedScores(*data, Fusion(compat_world_size=n))) for n in (1, 2)
    )
    assert not torch.equal(
        one.argsort(descending=True), two.argsort(descending=True)
    )
    with pytest.raises(ValueError, match='23 queries on 22 GPUs'):
        FusedScores(*data, Fusion(compat_world_size=22))


def test_equal_scores_stand_in_the_order_of_the_gallery():
    """As a stable sort has them; the exact rule counts them as wrong."""
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    gallery = query[[0, 0, 1, 1]]
    index = torch.tensor([[0, 1], [2, 3]])
    matching = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    ids = [5, 6], [5, 0, 6, 1]
    for size, first in ((None, [2, 2]), (1, [1, 1])):
        scores = FusedScores(
            query, gallery, index, matching, Fusion(compat_world_size=size)
        )
        ranking, _ = rank_reranked(scores, *ids)
        assert ranking.ranks.tolist() == first


def test_constant_scores_leave_the_cosine_to_decide(data):
    query, gallery, index, matching = data
    found = whole(FusedScores(query, gallery, index, 0 * matching + 3))
    cosine = query @ gallery.t()
    assert torch.equal(found.argsort(), cosine.argsort())


def test_ranked_lists_and_excluded_pairs(data):
    ids = torch.arange(23) % 7, torch.arange(31) % 7
    exclude = torch.arange(23), torch.arange(23)
    scores = FusedScores(*data, chunk_size=4)
    expected = rank_metrics(whole(scores), *ids, exclude=exclude)
    ranking, lists = rank_reranked(scores, *ids, exclude=exclude, list_size=3)
    assert ranking.metrics() == pytest.approx(expected)
    full = whole(scores)
    full[exclude] = -torch.inf
    assert torch.equal(lists['index'], full.topk(3).indices)
    assert lists['score'].shape == (23, 3)


def test_wrong_arguments(data):
    query, gallery, index, matching = data
    wrong = [
        ((query, gallery, index[:5], matching[:5]), r'shape \(23, k\)'),
        ((query, gallery, index, matching[:, :5]), r'and \(23, 5\)'),
        ((query, gallery[:9], index, matching), 'gallery has 9 items'),
        ((query, gallery, index, matching / 0), '138 of 138 matching scores'),
    ]
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            FusedScores(*arguments)
