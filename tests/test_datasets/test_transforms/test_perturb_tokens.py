"""Words of training captions that are hidden, changed and dropped."""

import numpy as np
import pytest
import torch

from mmtpr.datasets.transforms import PerturbTokens

SOT, EOT, MASK = 49406, 49407, 49405


def caption(words, length):
    tokens = [SOT, *words, EOT]
    return torch.tensor(tokens + [0] * (length - len(tokens)))


def run(tokens, seed=0, **kwargs):
    np.random.seed(seed)
    return PerturbTokens(**kwargs)(dict(tokens=tokens))['tokens']


def test_fates_come_as_often_as_in_the_release():
    words = list(range(1000, 11000))
    tokens = caption(words, 10010)
    out = run(tokens)
    kept = out[1 : int((out == EOT).nonzero()[0])]
    dropped = len(words) - len(kept)
    hidden = int((kept == MASK).sum())
    known = set(words)
    same = len(known & set(kept.tolist()))
    changed = len(kept) - hidden - same
    for number, share in (
        (hidden, 0.12),
        (dropped, 0.04),
        (changed, 0.04),
    ):
        assert number / len(words) == pytest.approx(share, abs=0.01)


def test_what_follows_a_dropped_word_moves_up():
    tokens = caption(range(1, 31), 40)
    for seed in range(30):
        out = run(tokens, seed, prob=0.6)
        assert out.shape == tokens.shape
        assert out.dtype == torch.long
        end = int((out == EOT).nonzero()[0])
        assert out[0] == SOT
        assert not out[end + 1 :].any()
        assert (out[1:end] > 0).all()
        unchanged = [t for t in out[1:end].tolist() if t <= 30]
        # Some word may have been drawn at random, hardly a small one.
        assert unchanged == sorted(unchanged)


def test_special_tokens_stay_and_the_sample_is_not_changed():
    tokens = caption([MASK, 5, 7], 8)
    before = tokens.clone()
    out = run(tokens, prob=1.0, special_ids=(5, 7))
    assert out.tolist() == before.tolist()
    assert torch.equal(tokens, before)


def test_a_caption_may_stay_whole_or_lose_all():
    tokens = caption([5, 6], 8)
    ways = {tuple(run(tokens, seed).tolist()) for seed in range(60)}
    assert tuple(tokens.tolist()) in ways
    lost = {tuple(run(tokens, s, prob=1.0).tolist()) for s in range(200)}
    assert (SOT, EOT, 0, 0, 0, 0, 0, 0) in lost


def test_the_same_seed_gives_the_same():
    tokens = caption(range(1, 31), 40)
    assert torch.equal(run(tokens, 3), run(tokens, 3))
    assert not torch.equal(run(tokens, 3), run(tokens, 4))


def test_other_padding_and_no_tokens():
    tokens = torch.full((20,), 9)
    tokens[:12] = torch.arange(20, 32)
    out = run(tokens, 1, prob=0.9, pad_id=9, special_ids=(9,))
    assert out[-8:].tolist() == [9] * 8
    assert PerturbTokens()(dict(img_path='a')) == dict(img_path='a')
    with pytest.raises(ValueError, match=r'prob must be in \(0, 1\]'):
        PerturbTokens(prob=0.0)
