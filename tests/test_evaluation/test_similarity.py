"""Top-k similarity, its chunks and the ranking from features."""

import pytest
import torch
import torch.nn.functional as F
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmtpr.evaluation import (
    rank_features,
    rank_metrics,
    rank_queries,
    similarity_blocks,
    topk_similarity,
)
from mmtpr.evaluation import similarity as module
from mmtpr.evaluation.similarity import find_equal_items, mean_of_top
from mmtpr.testing import disturb_rows


@pytest.fixture(autouse=True)
def _one_thread():
    """Small products: threads only wait for each other."""
    torch.set_num_threads(1)


def features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


@pytest.mark.parametrize('k', [1, 2, 6, 31, 32])
def test_mean_of_top(k):
    planes = torch.randn(32, 5, 7)
    before = planes.clone()
    expected = planes.topk(k, 0).values.mean(0)
    torch.testing.assert_close(mean_of_top(planes, k), expected)
    assert torch.equal(planes, before)


@pytest.mark.parametrize(
    ('num_tokens', 'k'), [(1, 1), (5, 1), (5, 3), (5, 5), (4097, 2)]
)
def test_against_the_whole_tensor(num_tokens, k):
    query = features(300, 16)
    tokens = features(11, num_tokens, 16, seed=1)
    whole = torch.einsum('qd,ntd->qnt', query, tokens)
    expected = whole.topk(k, -1).values.mean(-1)
    found = topk_similarity(query, tokens, k)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert found.dtype == torch.float32


def test_two_dimensional_gallery_is_plain_cosine():
    query, gallery = features(9, 16), features(4, 16, seed=1)
    found = topk_similarity(query, gallery)
    torch.testing.assert_close(found, query @ gallery.t())
    assert torch.equal(found, topk_similarity(query, gallery[:, None]))


@pytest.fixture(params=[False, True], ids=['this machine', 'uneven kernels'])
def _kernels(request, monkeypatch):
    """Products of this machine, and such that depend on row and column."""
    if request.param:
        plain = torch.mm

        def uneven(left, right):
            out = disturb_rows(plain(left, right))
            return disturb_rows(out.t().contiguous()).t()

        monkeypatch.setattr(torch, 'mm', uneven)


@pytest.mark.usefixtures('_kernels')
def test_score_does_not_depend_on_chunks_and_company():
    """Bit for bit."""
    query, tokens = features(270, 48), features(700, 6, 48, seed=1)
    whole = topk_similarity(query, tokens, 3)
    for size in (13, 100, 256, 9999):
        assert torch.equal(topk_similarity(query, tokens, 3, size), whole)
    assert torch.equal(
        topk_similarity(query[:100], tokens[:690], 3), whole[:100, :690]
    )


def test_score_depends_on_the_order_by_rounding_only():
    query, tokens = features(270, 48), features(700, 6, 48, seed=1)
    whole = topk_similarity(query, tokens, 3)
    order = torch.randperm(700)
    torch.testing.assert_close(
        topk_similarity(query[100:233], tokens[order], 3),
        whole[100:233, order],
        atol=1e-6,
        rtol=0,
    )


@pytest.mark.usefixtures('_kernels')
def test_score_does_not_depend_on_the_number_of_threads():
    query, tokens = features(270, 48), features(3000, 6, 48, seed=1)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(topk_similarity(query, tokens, 3))
        assert torch.get_num_threads() == threads
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_no_gradient_is_kept():
    query = features(3, 8).requires_grad_()
    found = topk_similarity(query, features(9000, 8).requires_grad_())
    assert not found.requires_grad


@pytest.mark.usefixtures('_kernels')
@pytest.mark.parametrize('dim', [7, 64, 256, 512])
def test_equal_items_tie_wherever_they_stand(dim):
    query = features(300, dim)
    tokens = features(1, 3, dim, seed=1).expand(1500, 3, dim)
    scores = topk_similarity(query, tokens, 2)
    assert torch.equal(scores, scores[:, :1].expand_as(scores))


def test_blocks_come_in_order():
    query, tokens = features(20, 8), features(6, 2, 8)
    blocks = list(similarity_blocks(query, tokens, 1, 8))
    assert [start for start, _ in blocks] == [0, 8, 16]
    assert [len(rows) for _, rows in blocks] == [8, 8, 4]


@pytest.mark.usefixtures('_kernels')
@pytest.mark.parametrize('size', [1, 13, 256, None])
def test_rank_features_ignores_the_chunk_size(size):
    query, tokens = features(70, 24), features(130, 4, 24, seed=1)
    tokens[100:] = tokens[:30]  # ties
    query_ids, gallery_ids = torch.arange(70) % 13, torch.arange(130) % 13
    pairs = (torch.arange(70), torch.arange(70) + 13)
    expected = rank_metrics(
        topk_similarity(query, tokens, 2),
        query_ids,
        gallery_ids,
        exclude=pairs,
    )
    found = rank_features(
        query,
        query_ids,
        tokens,
        gallery_ids,
        topk_tokens=2,
        exclude=pairs,
        chunk_size=size,
    )
    assert found == expected


@pytest.mark.usefixtures('_kernels')
def test_lists_do_not_depend_on_the_chunk_size():
    query, tokens = features(40, 16), features(60, 2, 16, seed=1)
    ids, gallery_ids = torch.arange(40) % 7, torch.arange(60) % 7
    _, lists = rank_queries(query, ids, tokens, gallery_ids, list_size=5)
    _, others = rank_queries(
        query, ids, tokens, gallery_ids, list_size=5, chunk_size=9
    )
    assert lists['index'].shape == (40, 5)
    for key, value in lists.items():
        assert torch.equal(value, others[key])


@pytest.mark.usefixtures('_kernels')
def test_constant_features_earn_nothing():
    query = features(1, 32).expand(50, 32)
    gallery = features(1, 4, 32, seed=1).expand(5000, 4, 32)
    found = rank_features(
        query, range(50), gallery, torch.arange(5000) % 50, topk_tokens=2
    )
    assert found['R@1'] == found['R@10'] == 0


def test_messages():
    query, tokens = features(3, 8), features(4, 2, 8)
    with pytest.raises(ValueError, match=r'topk_tokens is 3, .* has 2 vect'):
        topk_similarity(query, tokens, 3)
    with pytest.raises(ValueError, match=r'\(3, 8\) and \(4, 2, 5\)'):
        topk_similarity(query, tokens[..., :5])
    with pytest.raises(ValueError, match='chunk_size must be at least 1'):
        list(similarity_blocks(query, tokens, 1, -1))
    with pytest.raises(ValueError, match='3 query features for 2 ids'):
        rank_queries(query, [1, 2], tokens, [1, 2, 1, 2])


class TensorMeter(TorchDispatchMode):
    """The most that tensors made meanwhile held at once, in bytes."""

    def __init__(self, *given):
        super().__init__()
        self.given = {tensor.untyped_storage().data_ptr() for tensor in given}
        self.alive = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                if storage.data_ptr() not in self.given:
                    place = StorageWeakRef(storage), storage.nbytes()
                    self.alive[storage.data_ptr()] = place
        self.alive = {
            place: (reference, size)
            for place, (reference, size) in self.alive.items()
            if not reference.expired()
        }
        held = sum(size for _, size in self.alive.values())
        self.peak = max(self.peak, held)
        return result


def test_memory_is_bounded():
    query, tokens = torch.rand(400, 32), torch.rand(4000, 32, 32)
    with TensorMeter(query, tokens) as whole:
        torch.einsum('qd,gtd->qgt', query, tokens)
    assert whole.peak >= 195 << 20
    with TensorMeter(query, tokens) as meter:
        rank_features(
            *(query, range(400), tokens, torch.arange(4000) % 400),
            topk_tokens=6,
        )
    assert 0 < meter.peak < whole.peak / 8


def test_default_chunk_bounds_the_rows():
    assert module._default_chunk(20510) * 20510 * 4 <= 64 << 20
    assert module._default_chunk(10**9) == 256


@pytest.mark.parametrize('number', [1, 3, 100, 256, 300])
@pytest.mark.parametrize('shape', [(700, 6, 48), (5000, 48), (2048, 1, 48)])
def test_narrow_tiles_for_few_queries(number, shape):
    query, tokens = features(number, 48), features(*shape, seed=1)
    wanted = topk_similarity(query, tokens)
    found = topk_similarity(query, tokens, narrow=True)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    for size in (1, 13):
        chunked = topk_similarity(query, tokens, 1, size, narrow=True)
        assert torch.equal(chunked, found)


def test_equal_items_of_a_gallery_that_is_searched_again(monkeypatch):
    query, tokens = features(3, 48), features(40, 2, 48, seed=1)
    tokens[[7, 30]] = tokens[2].clone()
    known = find_equal_items(tokens)
    assert [x.tolist() for x in known] == [[7, 30], [2, 2]]
    wanted = topk_similarity(query, tokens)
    monkeypatch.setattr(
        'mmtpr.evaluation.similarity.equal_items',
        lambda _: pytest.fail('looked for again'),
    )
    for narrow in (False, True):
        found = topk_similarity(query, tokens, equal=known, narrow=narrow)
        assert torch.equal(found[:, 7], found[:, 2])
        assert torch.equal(found[:, 30], found[:, 2])
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
