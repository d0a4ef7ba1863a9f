"""Results of samples with their tensors in blocks."""

import io
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


def test_keys_keep_their_order():
    found = unpack_results(pack_results(results()))
    assert [list(item) for item in found] == [list(x) for x in results()]


@pytest.mark.parametrize(
    'made',
    [
        [{}, {}, {}],
        [dict(own={}), dict(own={}), dict(own=None)],
        [dict(x=torch.ones(2)), dict(x=None), dict(x=(1, torch.ones(1)))],
        [dict(x=torch.ones(2).bfloat16()), dict(x=torch.ones(2))],
        [dict(x=torch.tensor(1)), {}, dict(y=1), dict(x=torch.tensor(2))],
        [dict(x=[1]), dict(x=dict(x=[2])), dict(x=torch.empty(0, 3))],
    ],
)
def test_results_of_several_forms(made):
    sent = pickle.loads(pickle.dumps(pack_results(made[:])))
    found = unpack_results(sent)
    assert [str(item) for item in found] == [str(item) for item in made]


class Tensors(pickle.Pickler):
    """Notes the shapes of the tensors it meets."""

    def __init__(self):
        super().__init__(io.BytesIO())
        self.shapes = []

    def reducer_override(self, value):
        if isinstance(value, torch.Tensor):
            self.shapes.append(tuple(value.shape))
        return NotImplemented


def test_few_tensors_are_sent():
    items = [
        dict(role='query', features=torch.ones(8), index=torch.tensor(i))
        for i in range(1000)
    ]
    pickler = Tensors()
    pickler.dump(pack_results(items))
    assert pickler.shapes == [(1000, 8), (1000,)]
