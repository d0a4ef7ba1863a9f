"""Scores of pairs in planned batches against one pair at a time."""

import pytest
import torch

from mmtpr.evaluation import PairScorer
from mmtpr.evaluation.reranking.pair_scorer import map_tensors, plan_batches
from mmtpr.testing import TinyCrossModel, disturb_kernels


def build():
    torch.manual_seed(0)
    return TinyCrossModel(layers=2).eval()


@pytest.fixture(scope='module')
def model():
    return build()


@pytest.fixture(scope='module')
def data():
    """13 images, 11 captions of 1 to 30 tokens, 4 candidates each."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(13, 7, 24, generator=generator)
    tokens = torch.randint(1, 100, (11, 30), generator=generator)
    lengths = torch.tensor([1, 2, 8, 9, 16, 17, 20, 24, 25, 29, 30])
    mask = (torch.arange(30) < lengths[:, None]).long()
    index = torch.stack(
        [torch.randperm(13, generator=generator)[:4] for _ in range(11)]
    )
    return images, tokens * mask, mask, index


@torch.no_grad()
def one_at_a_time(model, data):
    images, tokens, mask, index = data
    scores = torch.empty(index.shape)
    for row, candidates in enumerate(index):
        some = tokens[row][None], mask[row][None]
        _, states = model.encode_text(*some)
        for col, image in enumerate(candidates):
            scores[row, col] = model.itm_scores(
                states, some[1], images[image][None]
            )
    return scores


SIZES = [
    dict(),
    dict(query_block=4, gallery_block=5, pair_batch=3, text_batch=2),
    dict(query_block=1, gallery_block=1, pair_batch=1, text_batch=1),
]


@pytest.mark.parametrize('sizes', SIZES)
def test_scores(model, data, sizes):
    found = PairScorer(model, **sizes)(*data)
    expected = one_at_a_time(model, data)
    assert found.std() > 1e-3
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('world', [2, 3, 50])
def test_shares_add_up_to_the_same_bits(data, sizes, world):
    """For any number of processes, on any kernel."""
    scorer = PairScorer(disturb_kernels(build()), **sizes)
    whole = scorer(*data)
    shares = [scorer(*data, share=(rank, world)) for rank in range(world)]
    assert torch.equal(sum(shares), whole)
    owners = sum((share != 0).int() for share in shares)
    assert (owners == 1).all()
    # Batches of 128 pairs of one length are too few for 50 processes.
    assert (shares[1] != 0).any()


def test_batches_are_planned_from_the_pairs_alone(data):
    index, lengths = data[3], torch.tensor([4, 8] * 5 + [4])
    pairs = torch.zeros(index.shape, dtype=torch.long)
    for block in (range(4), range(4, 13)):
        batches = plan_batches(index, lengths, block, 5)
        assert [b.length for b in batches] == sorted(b.length for b in batches)
        for length, rows, cols, images in batches:
            assert 1 <= len(rows) <= 5
            assert (lengths[rows] == length).all()
            assert torch.equal(index[rows, cols], images + block.start)
            pairs[rows, cols] += 1
    assert (pairs == 1).all()
    assert plan_batches(index, lengths, range(50, 60), 5) == []


def test_a_model_need_not_prepare_captions(model, data, monkeypatch):
    usual = PairScorer(model)(*data)
    monkeypatch.delattr(type(model), 'prepare_text')
    monkeypatch.setattr(
        type(model), 'itm_scores', _unprepared(type(model).itm_scores)
    )
    plain = PairScorer(model)(*data)
    torch.testing.assert_close(plain, usual, atol=1e-6, rtol=1e-5)


def _unprepared(scores):
    """Scores of a model that reads captions anew for each image."""

    def of_pairs(self, embeds, mask, keys_values):
        embeds = self.cross_layers[0].read_text(embeds, mask)
        return scores(self, embeds, mask, None, keys_values, prepared=True)

    return of_pairs


def test_work_is_done_once(model, data, monkeypatch):
    calls = dict(encode_text=[], image_keys_values=[], itm_scores=[])

    def count(method, seen):
        def counted(*args, **kwargs):
            seen.append(args[0].shape)
            return method(*args, **kwargs)

        return counted

    for name, seen in calls.items():
        monkeypatch.setattr(model, name, count(getattr(model, name), seen))
    scorer = PairScorer(model, gallery_block=5, pair_batch=8)
    scorer(*data)
    # Three blocks of at most five images.
    assert calls['image_keys_values'] == [(n, 7, 24) for n in (5, 5, 3)]
    # Each caption once, with those of its length, without padding.
    assert [tuple(shape) for shape in calls['encode_text']] == [
        (2, 4),
        (1, 8),
        (1, 12),
        (1, 16),
        (2, 20),
        (1, 24),
        (1, 28),
        (2, 30),
    ]
    # At most a batch for each length and block, nothing is filled up.
    sizes = {}
    for number, length, _ in calls['itm_scores']:
        sizes.setdefault(length, []).append(number)
    assert {length: sum(own) for length, own in sizes.items()} == {
        length: 4 * number
        for number, length in (s[:2] for s in calls['encode_text'])
    }
    assert all(len(own) <= 3 for own in sizes.values())


@pytest.mark.parametrize('block', [4, 8192])
def test_held_captions_give_the_same(data, block, monkeypatch):
    uneven = disturb_kernels(build())
    scorer = PairScorer(uneven, query_block=block)
    usual = scorer(*data)
    held = scorer.hold(*data[1:3])
    monkeypatch.setattr(uneven, 'encode_text', None)
    again = scorer(*data, held=held)
    assert torch.equal(again, usual)


def test_precision_of_autocast(model, data):
    scorer = PairScorer(model)
    exact = scorer(*data)
    with torch.autocast('cpu', torch.bfloat16):
        half = scorer(*data)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert torch.allclose(half, exact, atol=0.05)


def test_nested_structures():
    values = dict(a=[torch.ones(2)], b=(None, torch.zeros(1)))
    found = map_tensors(lambda x: len(x), values)
    assert found == dict(a=[2], b=(None, 1))


def test_wrong_arguments(model):
    with pytest.raises(TypeError, match='Linear has no encode_text, image_k'):
        PairScorer(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match='pair_batch must be at least 1'):
        PairScorer(model, pair_batch=0)
