"""The best items of a gallery, found part by part."""

import pytest
import torch
import torch.nn.functional as F

from mmtpr.evaluation import similarity as module
from mmtpr.evaluation import topk_similarity
from mmtpr.evaluation.search import head, search


def features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def by_sorting(scores, num):
    best = scores.sort(dim=1, descending=True, stable=True)
    return best.values[:, :num], best.indices[:, :num]


@pytest.fixture
def small(monkeypatch):
    """Parts of one tile, 8 items of one vector and 4 of two."""
    monkeypatch.setattr(module, '_TILE_VECTORS', 8)
    monkeypatch.setattr(module, '_ROWS_BYTES', 1)


@pytest.mark.parametrize('narrow', [False, True])
@pytest.mark.parametrize('shape', [(61, 16), (61, 2, 16)])
@pytest.mark.parametrize('num', [1, 7, 61, 100])
def test_parts_give_the_bits_of_the_whole(monkeypatch, narrow, shape, num):
    monkeypatch.setattr(module, '_TILE_VECTORS', 8)
    query, gallery = features(5, 16), features(*shape, seed=1)
    gallery[40] = gallery[3]  # equal, and in different parts
    gallery[41] = gallery[42]
    hidden = (torch.tensor([0, 0, 4]), torch.tensor([3, 60, 17]))
    scores = topk_similarity(query, gallery, narrow=narrow)
    scores[hidden] = -torch.inf
    wanted = by_sorting(scores, num)
    for size in (1, 1 << 30):
        monkeypatch.setattr(module, '_ROWS_BYTES', size)
        found = search(query, gallery, num, hidden=hidden, narrow=narrow)
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])


@pytest.mark.usefixtures('small')
def test_equal_items_stand_in_the_order_of_the_gallery():
    gallery = features(1, 2, 16).expand(50, 2, 16).clone()
    scores, index = search(features(3, 16), gallery, 9)
    assert torch.equal(index, torch.arange(9).expand(3, 9))
    assert (scores == scores[:, :1]).all()


@pytest.mark.usefixtures('small')
def test_memory_does_not_grow_with_the_gallery():
    seen = []

    def watch(*args):
        seen.append(tuple(args[2].shape))
        return score(*args)

    score = module._score_block
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, '_score_block', watch)
        search(features(3, 16), features(100, 16), 5)
    assert [shape[0] for shape in seen] == [8] * 12 + [4]


def test_head_takes_the_first_of_equal_ones():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (200, 30), generator=generator).float()
    scores[0] = -torch.inf
    for num in (1, 5, 30, 40):
        value, place = head(scores, num)
        wanted = by_sorting(scores, num)
        assert torch.equal(value, wanted[0])
        assert torch.equal(place, wanted[1])
