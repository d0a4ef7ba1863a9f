"""Galleries so wide that their scores come part by part."""

import pytest
import torch
from torch.nn.functional import normalize

from mmtpr.evaluation import similarity
from mmtpr.evaluation.ranking import wide
from mmtpr.evaluation.ranking.from_features import rank_queries
from mmtpr.evaluation.stacked_items import StackedItems


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of a few items, and every gallery is wide."""
    monkeypatch.setattr(similarity, '_TILE_VECTORS', 16)
    monkeypatch.setattr(similarity, '_ROWS_BYTES', 1 << 12)
    rooms = []
    plain = wide.rank_wide

    def noted(*args):
        rooms.append(len(args[2]))
        return plain(*args)

    monkeypatch.setattr(wide, 'rank_wide', noted)
    return lambda limit: (monkeypatch.setattr(wide, 'WIDE', limit), rooms)[1]


def data(vectors, seed):
    random = torch.Generator().manual_seed(seed)
    query = normalize(torch.randn(300, 8, generator=random), dim=-1)
    gallery = torch.randn(211, vectors, 8, generator=random)
    gallery = normalize(gallery, dim=-1)
    gallery[50:60] = gallery[40]  # ties, also over the edge of a part
    gallery[200] = gallery[3]
    query_ids = torch.randint(0, 12, (300,), generator=random)
    gallery_ids = torch.randint(-1, 12, (211,), generator=random)
    pairs = torch.randint(0, 211, (2, 500), generator=random)
    return query, query_ids, gallery, gallery_ids, (pairs[0], pairs[1])


@pytest.mark.parametrize('vectors', [1, 3])
@pytest.mark.parametrize('ties', ['pessimistic', 'optimistic'])
@pytest.mark.parametrize('excluded', [True, False])
def test_the_same_to_the_bit(small_parts, vectors, ties, excluded):
    for seed in range(3):
        query, query_ids, gallery, gallery_ids, pairs = data(vectors, seed)
        given = dict(
            ties=ties,
            topk_tokens=min(2, vectors),
            exclude=pairs if excluded else None,
            list_size=9,
        )
        arguments = (query, query_ids, gallery, gallery_ids)
        used = small_parts(10_000)
        plain, lists = rank_queries(*arguments, **given)
        assert used == []
        small_parts(100)
        found, parts = rank_queries(*arguments, **given)
        assert used == [211]
        used.clear()
        assert torch.equal(plain.ranks, found.ranks)
        assert torch.equal(plain.rows, found.rows)
        assert plain.num_queries == found.num_queries == 300
        assert torch.equal(lists['score'], parts['score'])
        assert torch.equal(lists['correct'], parts['correct'])
        assert plain.metrics() == found.metrics()
        # Which of equal items a list names is open, their scores are not.
        same = lists['index'] == parts['index']
        assert same.float().mean() > 0.8


def test_against_a_plain_sort(small_parts):
    query, query_ids, gallery, gallery_ids, _ = data(1, 7)
    small_parts(100)
    found, lists = rank_queries(
        query, query_ids, gallery[:, 0], gallery_ids, list_size=5
    )
    scores = query.double() @ gallery[:, 0].double().t()
    scores = scores.float().double()  # equal items tie
    first = found.per_query()['first']
    for row in range(0, 300, 7):
        right = gallery_ids == query_ids[row]
        best = scores[row][right].max()
        ahead = (scores[row][~right] > best + 1e-6).sum()
        near = (scores[row][~right] >= best - 1e-6).sum()
        assert ahead + 1 <= first[row] <= near + 1
        top = scores[row].topk(5).values
        torch.testing.assert_close(lists['score'][row].double(), top)


def test_items_that_are_stacked_when_needed(small_parts):
    query, query_ids, gallery, gallery_ids, _ = data(2, 1)
    small_parts(100)
    whole, _ = rank_queries(query, query_ids, gallery, gallery_ids)
    items, _ = rank_queries(
        query, query_ids, StackedItems([*gallery]), gallery_ids
    )
    assert torch.equal(whole.ranks, items.ranks)


def test_a_block_of_ones_own_goes_the_plain_way(small_parts):
    query, query_ids, gallery, gallery_ids, _ = data(1, 2)
    used = small_parts(100)
    rank_queries(query, query_ids, gallery, gallery_ids, chunk_size=64)
    assert used == []


def test_nan_is_named(small_parts):
    query, query_ids, gallery, gallery_ids, _ = data(1, 3)
    small_parts(100)
    gallery[170] = torch.nan
    with pytest.raises(ValueError, match=r'query 0 with gallery item 170 is'):
        rank_queries(query, query_ids, gallery, gallery_ids)


def test_nan_is_named_in_the_plain_way_too():
    query, query_ids, gallery, gallery_ids, _ = data(1, 3)
    query[280] = torch.nan
    with pytest.raises(ValueError, match=r'query 280 with gallery item 0 is'):
        rank_queries(query, query_ids, gallery, gallery_ids, chunk_size=64)
