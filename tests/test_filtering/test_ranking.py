import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtpr.filtering import ranking, relevance_rank, relevance_score


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def by_hand(tokens, captions, bank, own_index=None):
    """The definition, pair by pair, in double precision."""
    ranks = []
    for i, (image, caption) in enumerate(zip(tokens, captions, strict=True)):
        own = (image.double() @ caption.double()).max()
        others = (image.double() @ bank.double().T).amax(0)
        counts = others >= own - 1e-12
        if own_index is not None and own_index[i] >= 0:
            counts[own_index[i]] = False
        ranks.append(1 + int(counts.sum()))
    return ranks


@pytest.mark.smoke
@pytest.mark.parametrize('k', [5, 49, 180])
def test_parity_dropped_pairs(parity_file, k):
    case = np.load(parity_file('filter_rule.npz'))
    tokens, captions, bank = (
        torch.from_numpy(case[name])
        for name in ('image_tokens', 'own_captions', 'bank')
    )
    ranks = relevance_rank(tokens, captions, bank)
    dropped = (ranks > k).nonzero()[:, 0].numpy()
    np.testing.assert_array_equal(dropped, case[f'dropped_at_{k}'])


@pytest.mark.parametrize('tokens', [1, 5, 12])
@pytest.mark.parametrize('level', [0, 1])
def test_every_precision_gives_the_definition(monkeypatch, tokens, level):
    monkeypatch.setattr(ranking, 'first_level', lambda _: level)
    image, captions = normal(40, tokens, 24), normal(40, 24, seed=1)
    bank = normal(300, 24, seed=2)
    ranks = relevance_rank(image, captions, bank)
    assert ranks.tolist() == by_hand(image, captions, bank)
    assert ranks.dtype == torch.long


@pytest.mark.parametrize('block_bytes', [1, 5000, 70_000, 2**24])
def test_block_size_changes_nothing(block_bytes):
    image, captions = normal(23, 9, 16), normal(23, 16, seed=1)
    bank = torch.cat([normal(150, 16, seed=2), captions, image[:, 0]])
    own = torch.arange(150, 173)
    own[::3] = -1
    ranks = relevance_rank(
        image, captions, bank, own_index=own, block_bytes=block_bytes
    )
    assert ranks.tolist() == by_hand(image, captions, bank, own)


@pytest.mark.parametrize('level', [0, 1])
@pytest.mark.parametrize('dim', [16, 257])
def test_copy_of_own_caption_counts_wherever_it_stands(
    monkeypatch, level, dim
):
    monkeypatch.setattr(ranking, 'first_level', lambda _: level)
    image, captions = normal(7, 8, dim), normal(7, dim, seed=1)
    bank = normal(60, dim, seed=2)
    before = relevance_rank(image, captions, bank)
    for place in (0, 1, 17, 59, 60):
        longer = torch.cat([bank[:place], captions[:1], bank[place:]])
        after = relevance_rank(image, captions, longer)
        assert after[0] == before[0] + 1
        own = torch.full((7,), -1)
        own[0] = place
        left_out = relevance_rank(image, captions, longer, own_index=own)
        assert left_out[0] == before[0]
        assert torch.equal(left_out[1:], after[1:])


def test_ties_count_against_the_pair():
    # Values that every precision holds exactly.
    image = torch.tensor([[[1.0, 0, 0, 0], [0, 1.0, 0, 0]]])
    caption = torch.tensor([[0.5, 0.25, 0, 0]])
    bank = torch.tensor(
        [
            [0.5, 0, 0, 0],  # tie by the first token
            [0, 0.5, 0, 0],  # tie by the second
            [0.25, 0.25, 1, 0],  # below
            [0.75, 0, 0, 0],  # above
        ]
    )
    assert relevance_rank(image, caption, bank).tolist() == [4]


@pytest.mark.parametrize('tokens', [1, 8])
def test_constant_scorer_is_last(tokens):
    image = normal(1, tokens, 32).expand(50, -1, -1)
    caption = normal(1, 32, seed=1)
    ranks = relevance_rank(
        image, caption.expand(50, -1), caption.expand(700, -1)
    )
    assert ranks.tolist() == [701] * 50


def test_crowded_scores_are_decided_exactly():
    # All relevances within the error of bfloat16, few within that of double.
    base = normal(1, 32)
    bank = F.normalize(base + 1e-4 * normal(400, 32, seed=1), dim=-1)
    captions = F.normalize(base + 1e-4 * normal(20, 32, seed=2), dim=-1)
    image = F.normalize(base[None] + 1e-4 * normal(20, 9, 32, seed=3), dim=-1)
    ranks = relevance_rank(image, captions, bank)
    assert ranks.tolist() == by_hand(image, captions, bank)
    assert ranks.unique().numel() > 5


def test_low_precision_inputs():
    image, captions = normal(10, 4, 16).bfloat16(), normal(10, 16, seed=1)
    bank = normal(50, 16, seed=2)
    ranks = relevance_rank(image, captions.bfloat16(), bank.bfloat16())
    expected = by_hand(image, captions.bfloat16(), bank.bfloat16())
    assert ranks.tolist() == expected


@pytest.fixture
def low_precision():
    """Products of float32 in lower precision, by either switch of torch."""
    before = torch.get_float32_matmul_precision()

    def switch(api):
        if api == 'legacy':
            torch.set_float32_matmul_precision('medium')
        elif hasattr(torch.backends.mkldnn.matmul, 'fp32_precision'):
            torch.backends.mkldnn.matmul.fp32_precision = 'bf16'

    yield switch
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize('api', ['legacy', 'of the backend'])
def test_ignores_lower_precision_and_leaves_it_on(
    monkeypatch, low_precision, api
):
    monkeypatch.setattr(ranking, 'first_level', lambda _: 0)
    image, captions = normal(200, 4, 64), normal(200, 64, seed=1)
    bank = normal(800, 64, seed=2)
    expected = by_hand(image, captions, bank)
    low_precision(api)
    product = image[:, 0] @ bank.T
    with torch.autocast('cpu', torch.bfloat16):
        ranks = relevance_rank(image, captions, bank)
    assert ranks.tolist() == expected
    assert torch.equal(image[:, 0] @ bank.T, product)


def test_empty_bank_and_no_pairs():
    image, captions = normal(3, 2, 8), normal(3, 8)
    assert relevance_rank(image, captions, normal(0, 8)).tolist() == [1] * 3
    assert relevance_rank(image[:0], captions[:0], normal(4, 8)).shape == (0,)


def test_score_is_the_largest_product():
    image, captions = normal(6, 5, 16), normal(6, 16, seed=1)
    scores = relevance_score(image, captions)
    expected = (image @ captions[:, :, None])[:, :, 0].amax(1)
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=0)
    assert torch.equal(
        relevance_score(image[2:3], captions[2:3])[0], scores[2]
    )
    assert scores.dtype == torch.float32


@pytest.mark.parametrize('name', ['image_tokens', 'captions', 'bank'])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite(name, value):
    inputs = dict(
        image_tokens=normal(5, 3, 8), captions=normal(5, 8), bank=normal(9, 8)
    )
    inputs[name].view(-1)[-1] = value
    with pytest.raises(ValueError, match=f'{name} hold values that are not'):
        relevance_rank(**inputs)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(image_tokens=normal(5, 8)), r'the shape \(N, T, D\)'),
        (dict(captions=normal(4, 8)), 'do not belong together'),
        (dict(bank=normal(9, 7)), r'the shape \(M, 8\), got \(9, 7\)'),
        (dict(own_index=torch.zeros(4).long()), 'must hold 5 integers'),
        (dict(own_index=torch.full((5,), 9)), 'between -1 and 8, got 9'),
        (dict(own_index=torch.full((5,), -2)), 'between -1 and 8, got -2'),
    ],
)
def test_wrong_shapes(change, message):
    inputs = dict(
        image_tokens=normal(5, 3, 8), captions=normal(5, 8), bank=normal(9, 8)
    )
    with pytest.raises(ValueError, match=message):
        relevance_rank(**(inputs | change))


@pytest.mark.gpu
def test_gpu_gives_the_same_ranks():
    image, captions = normal(300, 32, 64), normal(300, 64, seed=1)
    bank = torch.cat([normal(2000, 64, seed=2), captions])
    own = torch.arange(2000, 2300)
    expected = relevance_rank(image, captions, bank, own_index=own)
    torch.set_float32_matmul_precision('medium')
    try:
        ranks = relevance_rank(
            image.cuda(), captions.cuda(), bank.cuda(), own_index=own
        )
    finally:
        torch.set_float32_matmul_precision('highest')
    assert ranks.cpu().tolist() == expected.tolist()
