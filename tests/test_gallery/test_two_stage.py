"""Rankings of a store against those of the metrics' own search."""

import numpy as np
import pytest
import torch

from mmtpr.evaluation.search import search
from mmtpr.gallery.two_stage import _equal


def ranking(query, feats, num, k):
    scores, places = search(query, feats, num, k, narrow=True)
    return scores, [[f'i{n}' for n in row] for row in places.tolist()]


@pytest.mark.parametrize(('tokens', 'k'), [(1, 1), (5, 1), (5, 3), (5, 5)])
def test_exact_search_has_the_bits_of_the_metrics(
    make, vectors, names, tokens, k
):
    feats = vectors(700, tokens).half().float()
    feats[500] = feats[20]  # ties
    store = make()
    store.add(names(300), feats[:300])
    store.flush()
    store.add(names(400, 300), feats[300:])
    query = vectors(9, seed=3)[:, 0]
    query[0] = feats[20, 0]
    scores, ids = ranking(query, feats, 40, k)
    hits = store.search(query, 40, topk_tokens=k, exact=True)
    assert [h.ids for h in hits] == ids
    assert torch.equal(torch.stack([h.scores for h in hits]), scores)
    assert hits[0].ids[:2] == ['i20', 'i500'] or k > 1
    # They tie by rule, not by luck.
    differ = store._generation.labels != np.arange(700)
    assert differ.nonzero()[0].tolist() == [500]
    assert store._generation.labels[500] == 20


def test_equal_items_among_some():
    labels = np.array([0, 1, 0, 1, 4, 1])
    later, first = _equal(labels, np.array([1, 2, 3, 4, 5]))
    assert (later.tolist(), first.tolist()) == ([2, 4], [0, 0])


def test_exact_search_of_some(make, vectors, names):
    feats = vectors(300, 4).half().float()
    feats[250] = feats[200] = feats[7]
    store = make()
    camera = np.arange(300) % 3
    store.add(names(300), feats, columns=dict(camera=camera))
    store.delete(['i7'])
    query = vectors(4, seed=3)[:, 0]
    kept = [n for n in range(300) if camera[n] == 1 and n != 7]
    scores, places = search(query, feats[kept], 200, 2, narrow=True)
    hits = store.search(query, 200, 'camera == 1', topk_tokens=2, exact=True)
    assert [h.ids for h in hits] == [
        [f'i{kept[n]}' for n in row] for row in places.tolist()
    ]
    assert torch.equal(torch.stack([h.scores for h in hits]), scores)


def test_all_items_as_candidates_are_an_exact_search(make, vectors, names):
    feats = vectors(200, 4).half().float()
    store = make()
    store.add(names(200), feats)
    query = vectors(3, seed=3)[:, 0]
    scores, ids = ranking(query, feats, 10, 2)
    hits = store.search(query, 10, topk_tokens=2)
    assert [h.ids for h in hits] == ids
    found = torch.stack([h.scores for h in hits])
    torch.testing.assert_close(found, scores)


def test_candidates_come_from_the_pooled_vectors(make, vectors, names):
    feats = vectors(400, 4).half().float()
    store = make()
    store.add(names(400), feats)
    query = vectors(1, seed=3)[0, 0]
    hits = store.search(query, 10, topk_tokens=1, candidates=50)[0]
    pooled = feats.mean(1) @ query
    best = pooled.topk(50).indices
    scores = (feats @ query).amax(1)
    wanted = best[scores[best].argsort(descending=True)][:10]
    assert hits.ids == [f'i{n}' for n in wanted.tolist()]
    torch.testing.assert_close(hits.scores, scores[wanted])


def test_single_vectors_are_compared_at_once(make, vectors, names):
    feats = vectors(400)
    store = make()
    store.add(names(400), feats)
    query = vectors(3, seed=3)[:, 0]
    scores, ids = ranking(query, feats, 10, 1)
    for certify in (False, True):
        hits = store.search(query, 10, certify=certify)
        assert [h.ids for h in hits] == ids
        found = torch.stack([h.scores for h in hits])
        torch.testing.assert_close(found, scores)
        assert {h.proven for h in hits} == {10 if certify else None}


@pytest.mark.parametrize('seed', range(5))
def test_proven_places_are_those_of_an_exact_search(
    make, vectors, names, seed
):
    feats = vectors(500, 6, dim=8, seed=seed).half().float()
    # An item whose best vectors are better than its pooled one tells.
    feats[::7, 1:] *= -1
    store = make()
    store.add(names(500), feats)
    query = vectors(20, dim=8, seed=seed + 50)[:, 0]
    exact = store.search(query, 50, topk_tokens=2, exact=True)
    hits = store.search(query, 50, topk_tokens=2, candidates=60, certify=True)
    proven = [h.proven for h in hits]
    assert 0 < sum(proven) < 20 * 50
    for found, whole in zip(hits, exact, strict=True):
        assert found.ids[: found.proven] == whole.ids[: found.proven]
    everything = store.search(
        query, 50, topk_tokens=2, candidates=500, certify=True
    )
    assert {h.proven for h in everything} == {50}
    certain = store.search(query, 50, topk_tokens=2, exact=True, certify=True)
    assert {h.proven for h in certain} == {50}


@pytest.mark.parametrize('tokens', [1, 3])
def test_an_approximate_index(make, read, vectors, names, tokens):
    centres = vectors(40, tokens, seed=7).repeat_interleave(25, 0)
    noise = 0.3 * vectors(1000, tokens)
    feats = torch.nn.functional.normalize(centres + noise, dim=-1)
    feats = feats.half().float()
    store = make(flat_items=500)
    for start in range(0, 1000, 250):
        some = slice(start, start + 250)
        camera = list(range(1000))[some]
        store.add(names(250, start), feats[some], columns=dict(n=camera))
        store.flush()
    # Three parts were joined when they were too many for comparing all.
    assert [p.flat for p in store._manifest.segments] == [False, True]
    store.add(names(250, 1000), vectors(250, tokens, seed=8))
    store.delete(names(250, 1000))
    store.compact()
    assert [p.flat for p in store._manifest.segments] == [False]
    assert store.verify() == []
    store = read()
    query = feats[::50, 0]
    for where, kept in ((None, range(1000)), ('n < 100', range(100))):
        wanted = store.search(query, 10, where, exact=True, topk_tokens=tokens)
        # The pooled vectors are the rule here: what is lost, the index loses.
        found = store.search(
            query, 10, where, topk_tokens=tokens, candidates=200
        )
        shared = [
            len({*a.ids} & {*b.ids})
            for a, b in zip(wanted, found, strict=True)
        ]
        assert np.mean(shared) >= 9.5
        assert {n for h in found for n in h.ids} <= {f'i{n}' for n in kept}
    stored = store.fetch(['i999', 'i0'])
    assert torch.equal(stored, feats[[999, 0]])


def test_what_does_not_fit(make, vectors, names):
    store = make()
    store.add(names(4), vectors(4, 3))
    query = vectors(1)[0]
    for wrong, kwargs, match in [
        (query[:, :5], {}, 'holds vectors of 16 numbers, the query has 5'),
        (query[None], {}, r'Expected query vectors \(Q, D\)'),
        (query.long(), {}, 'floating'),
        (query * np.nan, {}, 'not finite'),
        (query, dict(k=0), 'num must be a whole number of at least 1'),
        (query, dict(candidates=1.5), 'candidates must be a whole number'),
        (query, dict(topk_tokens=4), 'topk_tokens is 4, but an item has 3'),
    ]:
        with pytest.raises(ValueError, match=match):
            store.search(wrong, **kwargs)
