"""Results of samples with their tensors in blocks."""

import pickle

import pytest
import torch

from mmtpr.evaluation import packed_results
from mmtpr.evaluation.packed_results import pack_results, unpack_results


def results():
    """Of queries and gallery items, nested as of several kinds of query."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for i in range(13):
        features = torch.randn(3, 4, generator=generator)
        item = dict(role='gallery', features=features, caption=None)
        if i % 3 == 0:
            item.update(role='query', features=features[0], score=float(i))
        if i % 4 == 0:
            item['cut'] = dict(row=torch.arange(i), own=dict(at=i))
        made.append(item)
    return made


def same(one, two):
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(
            same(one[key], two[key]) for key in one
        )
    return type(one) is type(two) and one == two


@pytest.mark.parametrize('step', [1, 4, 1024])
def test_what_is_packed_comes_back(step, monkeypatch):
    monkeypatch.setattr(packed_results, '_STEP', step)
    given = results()
    sent = pickle.loads(pickle.dumps(pack_results(given), protocol=2))
    assert given == []  # no tensor lies there twice
    found = unpack_results(sent)
    assert len(found) == 13
    assert all(map(same, found, results()))
    assert unpack_results(pack_results([])) == []


def test_few_tensors_are_sent():
    items = [
        dict(role='query', features=torch.ones(8), index=torch.tensor(i))
        for i in range(1000)
    ]
    ((plain, blocks),) = pack_results(items)
    assert [tuple(block.shape) for *_, block in blocks] == [(1000, 8), (1000,)]
    assert plain == [dict(role='query')] * 1000
