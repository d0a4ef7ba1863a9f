"""One word of a caption changed for another of its place."""

import pytest
import torch

from mmtpr.text.word_swaps import swap_tokens

START, END = 90, 91


def rows(*captions):
    longest = max(map(len, captions)) + 3
    out = torch.zeros(len(captions), longest, dtype=torch.long)
    for row, words in zip(out, captions, strict=True):
        row[: len(words) + 2] = torch.tensor([START, *words, END])
    return out


def test_only_what_stands_between_the_same_neighbours():
    # red and blue stand between a and coat, green between a and hat.
    a, red, blue, green, coat, hat = range(1, 7)
    tokens = rows([a, red, coat], [a, blue, coat], [a, green, hat])
    for _ in range(20):
        found = swap_tokens(tokens)
        assert found[0].tolist() == tokens[1].tolist()
        assert found[1].tolist() == tokens[0].tolist()
        assert found[2].tolist() == tokens[2].tolist()


def test_one_token_changes_and_all_choices_come():
    torch.manual_seed(0)
    tokens = rows([1, 5, 2, 7, 3], [1, 6, 2, 8, 3], [1, 4, 2, 9, 3])
    seen = set()
    for _ in range(200):
        found = swap_tokens(tokens)
        changed = found != tokens
        assert (changed.sum(1) == 1).all()
        seen.add(tuple(found[0].tolist()))
    first = tokens[0].tolist()
    wanted = set()
    for place, words in ((2, (6, 4)), (4, (8, 9))):
        for word in words:
            wanted.add((*first[:place], word, *first[place + 1 :]))
    assert seen == wanted


def test_start_end_and_padding_stay():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    captions = [
        torch.randint(1, 6, (n,), generator=generator).tolist()
        for n in torch.randint(1, 9, (64,), generator=generator).tolist()
    ]
    tokens = rows(*captions)
    found = swap_tokens(tokens)
    special = (tokens == 0) | (tokens >= START)
    assert (found[special] == tokens[special]).all()
    assert ((found != tokens).sum(1) <= 1).all()
    assert (found != tokens).any(1).sum() > 40
    assert not ((found == 0) | (found >= START))[~special].any()


def test_the_seed_decides_and_the_given_tokens_stay():
    tokens = rows([1, 5, 2, 7, 3], [1, 6, 2, 8, 3], [1, 4, 2, 9, 3])
    before = tokens.clone()
    one, two = (
        swap_tokens(tokens, torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert torch.equal(one, two)
    assert torch.equal(tokens, before)


def test_small_and_wrong_shapes():
    assert swap_tokens(torch.zeros(0, 5, dtype=torch.long)).shape == (0, 5)
    two = torch.tensor([[1, 2], [3, 4]])
    assert torch.equal(swap_tokens(two), two)
    with pytest.raises(ValueError, match=r'shape \(B, L\), got \(3,\)'):
        swap_tokens(torch.zeros(3, dtype=torch.long))
