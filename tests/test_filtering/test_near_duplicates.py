"""Images that are nearly the same."""

import pytest
import torch
import torch.nn.functional as F

from mmtpr.filtering import near_duplicates as module
from mmtpr.filtering.near_duplicates import image_vectors, near_duplicates


@pytest.fixture
def feats():
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(600, 32, generator=generator)
    feats[300] = 3 * feats[7]
    feats[599] = feats[20] + 0.02 * feats[21]
    return feats


def brute(feats, threshold):
    feats = F.normalize(feats.double(), dim=-1)
    cosine = (feats @ feats.T).triu(1)
    return {tuple(c) for c in (cosine >= threshold).nonzero().tolist()}


def test_all_couples_and_no_other(feats):
    for threshold in (0.6, 0.99):
        cosine, couples, number = near_duplicates(feats, threshold)
        assert {tuple(c) for c in couples.tolist()} == brute(feats, threshold)
        assert number == len(couples) >= 2
        assert (cosine.diff() <= 0).all()
    assert couples.tolist() == [[7, 300], [20, 599]]
    assert cosine[0] == pytest.approx(1, abs=1e-6)


def test_the_nearest_are_kept_whatever_the_blocks(feats, monkeypatch):
    _, whole, number = near_duplicates(feats, 0.5)
    _, few, same = near_duplicates(feats, 0.5, limit=3)
    assert same == number > 3
    assert few.tolist() == whole[:3].tolist()
    blocks = module.similarity_blocks
    monkeypatch.setattr(
        module, 'similarity_blocks', lambda a, b: blocks(a, b, chunk_size=256)
    )
    _, parts, same = near_duplicates(feats, 0.5, limit=3)
    assert same == number
    assert parts.tolist() == few.tolist()


def test_copies_reach_a_threshold_of_one(feats):
    _, couples, number = near_duplicates(feats, 1.0)
    assert couples.tolist() == [[7, 300]]
    assert number == 1


@pytest.mark.parametrize('threshold', [0.0, 1.1, -1])
def test_thresholds_out_of_range(threshold, feats):
    with pytest.raises(ValueError, match='above 0 and at most 1, got'):
        near_duplicates(feats, threshold)


def test_vectors_in_blocks_without_the_unreadable():
    class Scorer:
        def embed_images(self, samples, on_batch=None):
            rows = [sample['n'] for sample in samples]
            tokens = torch.tensor(rows).float()[:, None, None].expand(-1, 2, 3)
            return tokens, {i: '' for i, n in enumerate(rows) if n == 4}

    vectors, readable = image_vectors(
        Scorer(), [dict(n=n) for n in range(7)], block_size=3
    )
    assert readable == [0, 1, 2, 3, 5, 6]
    assert vectors.tolist() == [[n] * 3 for n in readable]


@pytest.mark.parametrize(('broken', 'left'), [((6,), 6), (range(7), 0)])
def test_blocks_without_any_readable_image(broken, left):
    class Scorer:
        def embed_images(self, samples, on_batch=None):
            numbers = [sample['n'] for sample in samples]
            lost = {i: '' for i, n in enumerate(numbers) if n in broken}
            if len(lost) == len(samples):  # as a scorer that knows no width
                return torch.zeros(len(samples), 1, 1), lost
            return torch.ones(len(samples), 2, 3), lost

    entries = [dict(n=n) for n in range(7)]
    vectors, readable = image_vectors(Scorer(), entries, block_size=3)
    assert len(vectors) == len(readable) == left
    assert near_duplicates(vectors, 0.5)[2] == left * (left - 1) // 2
