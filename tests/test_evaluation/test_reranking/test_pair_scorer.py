"""Scores of pairs in batches against one pair at a time."""

import pytest
import torch

from mmtpr.evaluation import PairScorer
from mmtpr.evaluation.reranking.pair_scorer import map_tensors
from mmtpr.testing import TinyCrossModel


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return TinyCrossModel(layers=2).eval()


@pytest.fixture(scope='module')
def data():
    """13 pictures, 11 captions of 1 to 30 tokens, 4 candidates each."""
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
    images, *texts = data
    found = PairScorer(model, **sizes)(images, torch.arange(13), *texts)
    expected = one_at_a_time(model, data)
    assert found.std() > 1e-3
    assert torch.allclose(found, expected, atol=1e-5)


def test_shares_of_the_gallery_add_up_to_the_same_bits(model, data):
    """As processes do: any split, any order."""
    images, *texts = data
    scorer = PairScorer(model, gallery_block=4, pair_batch=5)
    whole = scorer(images, torch.arange(13), *texts)
    for parts in ([range(0, 13, 2), range(1, 13, 2)], [[12], range(12)]):
        shares = []
        for part in parts:
            places = torch.tensor(list(part))
            shares.append(scorer(images[places], places, *texts, 13))
        assert torch.equal(sum(shares), whole)
        own = torch.isin(texts[2], places)
        assert (shares[-1][~own] == 0).all()
    assert (scorer([], torch.zeros(0).long(), *texts, 13) == 0).all()


def test_a_model_need_not_prepare_captions(model, data, monkeypatch):
    images, *texts = data
    usual = PairScorer(model)(images, torch.arange(13), *texts)
    monkeypatch.delattr(type(model), 'prepare_text')
    monkeypatch.setattr(
        type(model), 'itm_scores', _unprepared(type(model).itm_scores)
    )
    plain = PairScorer(model)(images, torch.arange(13), *texts)
    torch.testing.assert_close(plain, usual, atol=1e-6, rtol=1e-5)


def _unprepared(scores):
    """Scores of a model that reads captions anew for each picture."""

    def of_pairs(self, embeds, mask, keys_values):
        embeds = self.cross_layers[0].read_text(embeds, mask)
        return scores(self, embeds, mask, None, keys_values, prepared=True)

    return of_pairs


def test_work_is_done_once(model, data, monkeypatch):
    images, *texts = data
    calls = dict(encode_text=[], image_keys_values=[], itm_scores=[])

    def count(method, seen):
        def counted(*args, **kwargs):
            seen.append(args[0].shape)
            return method(*args, **kwargs)

        return counted

    for name, seen in calls.items():
        monkeypatch.setattr(model, name, count(getattr(model, name), seen))
    scorer = PairScorer(model, gallery_block=5, pair_batch=8)
    scorer(images, torch.arange(13), *texts)
    # Three blocks of five pictures, the last filled up.
    assert calls['image_keys_values'] == [(5, 7, 24)] * 3
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
    # One batch for each length and block, of the size of the length's pairs.
    sizes = {}
    for number, length, _ in calls['itm_scores']:
        sizes.setdefault(length, []).append(number)
    assert {length: set(own) for length, own in sizes.items()} == {
        length: {4 * number}
        for number, length in (s[:2] for s in calls['encode_text'])
    }
    assert all(len(own) <= 3 for own in sizes.values())


@pytest.mark.parametrize('block', [4, 8192])
def test_held_captions_give_the_same(model, data, block, monkeypatch):
    images, *texts = data
    scorer = PairScorer(model, query_block=block)
    usual = scorer(images, torch.arange(13), *texts)
    held = scorer.hold(*texts[:2])
    monkeypatch.setattr(model, 'encode_text', None)
    again = scorer(images, torch.arange(13), *texts, held=held)
    assert torch.equal(again, usual)


def test_precision_of_autocast(model, data):
    images, *texts = data
    scorer = PairScorer(model)
    exact = scorer(images, torch.arange(13), *texts)
    with torch.autocast('cpu', torch.bfloat16):
        half = scorer(images, torch.arange(13), *texts)
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
