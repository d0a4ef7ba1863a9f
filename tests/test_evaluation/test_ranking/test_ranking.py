"""rank_metrics against the reference numbers and a definition by sorting."""

import numpy as np
import pytest
import torch

from mmtpr.evaluation import rank_metrics, ranked_lists, ranks_of_positives
from mmtpr.evaluation.ranking import counting, matches


def brute_force(
    similarity, query_ids, gallery_ids, topk=(1, 5, 10), exclude=(), ties=1
):
    """Sort each row with wrong items first (ties=1) among equal scores."""
    rows = []
    for q, scores in enumerate(similarity.tolist()):
        order = sorted(
            (g for g in range(len(scores)) if (q, g) not in exclude),
            key=lambda g, s=scores, q=q: (
                -s[g],
                ties * (gallery_ids[g] == query_ids[q]),
            ),
        )
        hits = [
            rank
            for rank, g in enumerate(order, 1)
            if gallery_ids[g] == query_ids[q] != -1
        ]
        if hits:
            found = [i / rank for i, rank in enumerate(hits, 1)]
            rows.append(
                [hits[0] <= k for k in topk]
                + [sum(found) / len(found), len(hits) / hits[-1]]
            )
    return 100 * np.mean(np.array(rows, dtype=float), axis=0)


def case(seed, num_queries=23, num_gallery=90, num_ids=9, levels=None):
    rng = np.random.default_rng(seed)
    similarity = rng.standard_normal((num_queries, num_gallery))
    if levels:
        similarity = np.round(similarity * levels) / levels
    query_ids = rng.integers(0, num_ids, num_queries)
    gallery_ids = np.concatenate(
        [np.arange(num_ids), rng.integers(0, num_ids, num_gallery - num_ids)]
    )
    return similarity.astype(np.float32), query_ids, gallery_ids


def test_parity(parity_file):
    data = np.load(parity_file('ranking.npz'))
    found = rank_metrics(
        data['similarity'], data['query_ids'], data['gallery_ids']
    )
    names = {'R@1': 'R1', 'R@5': 'R5', 'R@10': 'R10'}
    assert list(found) == ['R@1', 'R@5', 'R@10', 'mAP', 'mINP']
    for name, value in found.items():
        assert isinstance(value, float)
        expected = float(data[names.get(name, name)])
        assert value == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize('ties', ['pessimistic', 'optimistic'])
@pytest.mark.parametrize('levels', [None, 1, 3])
@pytest.mark.parametrize('num_ids', [2, 9, 40])
def test_against_sorting(num_ids, levels, ties, monkeypatch):
    """Few and many positives (45 a query), with and without ties."""
    data = case(num_ids, num_ids=num_ids, levels=levels)
    expected = brute_force(*data, ties=1 if ties == 'pessimistic' else -1)
    found = rank_metrics(*data, ties=ties)
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-12)
    monkeypatch.setattr(matches, 'BLOCK_ELEMENTS', 200)
    assert rank_metrics(*data, ties=ties) == found
    # Passes for few positives and bins for many are the same function.
    for limit in (0, 10**6):
        monkeypatch.setattr(counting, '_FEW_POSITIVES', limit)
        assert rank_metrics(*data, ties=ties) == found


def test_tensors_arrays_lists_and_types():
    similarity, query_ids, gallery_ids = case(0)
    expected = rank_metrics(similarity, query_ids, gallery_ids)
    assert expected == rank_metrics(
        torch.from_numpy(similarity),
        torch.from_numpy(query_ids).int(),
        gallery_ids.tolist(),
    )
    assert expected == rank_metrics(
        similarity.astype(np.float64), query_ids, gallery_ids
    )
    coarse = torch.from_numpy(similarity).half()
    assert rank_metrics(coarse, query_ids, gallery_ids) == rank_metrics(
        coarse.float(), query_ids, gallery_ids
    )


def test_constant_scorer_earns_nothing():
    found = rank_metrics(torch.ones(2, 12), [0, 1], [0, 0, 1] + 9 * [2])
    assert found['R@1'] == found['R@5'] == 0
    # 10 and 11 items are before the positives of query 0 and 1.
    expected = ((1 / 11 + 2 / 12) / 2 + 1 / 12) / 2
    assert found['mAP'] == pytest.approx(100 * expected)
    kind = rank_metrics(
        torch.ones(2, 12), [0, 1], [0, 0, 1] + 9 * [2], ties='optimistic'
    )
    assert kind['mAP'] == kind['R@1'] == 100


def test_one_negative_at_the_best_positive():
    """The tie costs a rank; ties among positives cost nothing."""
    found = rank_metrics([[0.5, 0.5, 0.5, 0.1]], [3], [3, 3, 4, 3], (1, 2))
    assert found['R@1'] == 0
    assert found['R@2'] == 100
    assert found['mAP'] == pytest.approx(100 * (1 / 2 + 2 / 3 + 3 / 4) / 3)


def test_ranks_are_ascending_by_query():
    result = ranks_of_positives(
        [[0.1, 0.9, 0.5, 0.7], [0.4, 0.3, 0.2, 0.1]], [1, 2], [1, 2, 1, 1]
    )
    assert result.ranks.tolist() == [2, 3, 4, 2]
    assert result.rows.tolist() == [0, 0, 0, 1]
    assert result.per_query()['first'].tolist() == [2, 2]


def test_infinite_scores_are_scores():
    inf = float('inf')
    scores = [[inf, inf, 0.0, -inf, -inf]]
    found = ranks_of_positives(scores, [1], [1, 0, 0, 1, 0])
    assert found.ranks.tolist() == [2, 5]
    kind = ranks_of_positives(scores, [1], [1, 0, 0, 1, 0], ties='optimistic')
    assert kind.ranks.tolist() == [1, 4]


def test_ignored_ids_match_nothing():
    similarity = [[0.9, 0.8, 0.7], [0.9, 0.8, 0.7]]
    found = rank_metrics(
        similarity, [4, -1], [-1, 4, -1], (1, 2), on_missing='skip'
    )
    assert found == {'R@1': 0, 'R@2': 100, 'mAP': 50, 'mINP': 50}
    taken = rank_metrics(similarity, [4, -1], [-1, 4, -1], ignore_ids=())
    assert taken['R@1'] == 50
    with pytest.raises(ValueError, match=r'2 of 2 queries .*\(first ids: -1'):
        rank_metrics(similarity, [-1, -1], [-1, -1, -1])


@pytest.mark.parametrize('levels', [None, 1])
def test_excluded_pairs(levels, monkeypatch):
    data = case(5, levels=levels)
    generator = np.random.default_rng(1)
    rows = generator.integers(0, 23, 60)
    cols = generator.integers(0, 90, 60)
    pairs = (torch.from_numpy(rows), torch.from_numpy(cols))
    expected = brute_force(
        *data, exclude=set(zip(rows.tolist(), cols.tolist(), strict=True))
    )
    found = rank_metrics(*data, exclude=pairs)
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-12)
    monkeypatch.setattr(matches, 'BLOCK_ELEMENTS', 200)
    assert rank_metrics(*data, exclude=pairs) == found


def test_query_without_match_is_named():
    similarity = torch.eye(3)
    with pytest.raises(
        ValueError,
        match=r'2 of 3 queries have no match by id in the gallery of 3 items '
        r'\(first ids: 7, 9\).*on_missing',
    ):
        rank_metrics(similarity, [9, 0, 7], [0, 1, 2])
    found = rank_metrics(similarity, [9, 1, 7], [0, 1, 2], on_missing='skip')
    assert found['R@1'] == 100  # of the one query that has an answer
    only = (torch.tensor([1]), torch.tensor([1]))
    with pytest.raises(ValueError, match='1 of 3 queries'):
        rank_metrics(similarity, [0, 1, 2], [0, 1, 2], exclude=only)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(similarity=torch.zeros(3, 2)), r'\(3, 2\).*3 query ids and 3'),
        (dict(similarity=torch.zeros(3, 3).long()), 'must be floating'),
        (dict(query_ids=[0.5, 1.0, 2.0]), 'query_ids must be'),
        (dict(gallery_ids=[]), 'gallery_ids must be'),
        (dict(topk=(0,)), r'positive integers, got \(0,\)'),
        (dict(topk=()), 'positive integers'),
        (dict(ties='fair'), "not 'fair'"),
        (dict(on_missing='drop'), "not 'drop'"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = dict(
        similarity=torch.eye(3), query_ids=[0, 1, 2], gallery_ids=[0, 1, 2]
    )
    with pytest.raises(ValueError, match=message):
        rank_metrics(**{**arguments, **change})


def test_nan_is_refused():
    similarity = torch.eye(4)
    similarity[2, 1] = torch.nan
    with pytest.raises(ValueError, match='query 2 with gallery item 1 is NaN'):
        rank_metrics(similarity, range(4), range(4))


@pytest.mark.parametrize('levels', [None, 1])
def test_lists_agree_with_ranks(levels):
    similarity, query_ids, gallery_ids = case(3, levels=levels)
    lists = ranked_lists(similarity, query_ids, gallery_ids, num=7)
    assert lists['index'].shape == (23, 7)
    first = ranks_of_positives(similarity, query_ids, gallery_ids)
    first = first.per_query()['first'].long().tolist()
    for q in range(23):
        index = lists['index'][q].numpy()
        best = np.sort(similarity[q])[::-1][:7]
        np.testing.assert_array_equal(lists['score'][q].numpy(), best)
        np.testing.assert_array_equal(similarity[q][index], best)
        correct = gallery_ids[index] == query_ids[q]
        np.testing.assert_array_equal(lists['correct'][q].numpy(), correct)
        seen = np.flatnonzero(correct)
        assert (first[q] <= 7) == bool(len(seen))
        if len(seen):
            assert seen[0] + 1 == first[q]


def test_lists_are_cut_and_leave_excluded_out():
    pairs = (torch.tensor([0]), torch.tensor([1]))
    lists = ranked_lists([[0.1, 0.9, 0.5]], [1], [1, 1, 2], 10, exclude=pairs)
    assert lists['index'][0, :2].tolist() == [2, 0]
    assert lists['score'][0, 2] == float('-inf')


@pytest.mark.parametrize(
    ('exclude', 'match'),
    [
        (([0], [-1]), 'names gallery -1: there are 0 to 2'),
        (([0], [3]), 'names gallery 3: there are 0 to 2'),
        (([2], [0]), 'names query 2: there are 0 to 1'),
        (([-1], [0]), 'names query -1'),
        (([0, 1], [0]), 'two vectors of one length'),
        (([0.0], [0.0]), 'must be integers, got torch.float32'),
    ],
)
def test_pairs_to_exclude_are_checked(exclude, match):
    pairs = tuple(torch.tensor(x) for x in exclude)
    scores = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.2, 0.3]])
    for call in (rank_metrics, ranks_of_positives):
        with pytest.raises(ValueError, match=match):
            call(scores, [1, 2], [1, 2, 1], exclude=pairs)


@pytest.mark.parametrize('num', [1, 3, 5])
def test_no_list_names_an_item_twice(num):
    scores = torch.tensor([[1.0, 0.5, 2.0, 0.1, 0.0]] * 4)
    scores[1, 1:] = -torch.inf
    scores[2] = -torch.inf
    rows, cols = torch.tensor([[3, 3, 3, 0], [0, 2, 4, 2]])
    found = ranked_lists(
        scores, [0] * 4, [0, 0, 1, 1, 2], num, exclude=(rows, cols)
    )
    rows = zip(*found.values(), strict=True)
    for row, (index, score, correct) in enumerate(rows):
        assert len({*index.tolist()}) == num
        right = (1,) if row == 3 else (0, 1)  # what is left out is neither
        assert correct.tolist() == [i in right for i in index.tolist()]
        assert score.tolist() == sorted(score.tolist(), reverse=True)
    best = found['score'][:, 0].tolist()
    assert best == [1, 1, -torch.inf, 0.5]
