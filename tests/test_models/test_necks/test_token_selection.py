"""Selected tokens: parity with the released layers, and the edges."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtpr.converters import rde_map
from mmtpr.models.necks import select_patches, select_words
from mmtpr.registry import MODELS


@pytest.fixture(scope='module')
def case(request):
    path = request.getfixturevalue('parity_file')('rde.npz')
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@pytest.fixture
def neck(case):
    """A neck with the weights of the case, through the key map."""
    names = {'visual.': 'visul_emb_layer.', 'textual.': 'texual_emb_layer.'}
    theirs = {
        names[start] + key[len('w:' + start) :]: value
        for key, value in case.items()
        for start in names
        if key.startswith(f'w:{start}')
    }
    done = rde_map('tse')(theirs)
    assert len(done.state) + len(done.ignored) == len(theirs)
    neck = build(image_width=16, text_width=16, embed_dim=24, hidden_dim=12)
    state = {k.removeprefix('necks.tse.'): v for k, v in done.state.items()}
    neck.load_state_dict(state, strict=True)
    return neck.eval()


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmtpr.TokenSelection', **kwargs))


def images_of(case):
    tokens = case['visual_tokens']
    first = torch.zeros(len(tokens), dtype=torch.long)
    return SimpleNamespace(
        tokens=tokens,
        attention=case['visual_attention'][:, 0],
        positions=first,
    )


def captions_of(case):
    ends = case['text_ids'].argmax(dim=1)
    rows = torch.arange(len(ends))
    return SimpleNamespace(
        tokens=case['text_tokens'],
        attention=case['text_attention'][rows, ends],
        positions=ends,
    )


def by_hand(layers, tokens, chosen):
    """One vector of the tokens at these places, token by token."""
    rows = []
    for place in chosen:
        x = tokens[place] / (tokens[place].norm() + 1e-8)
        hidden = layers.hidden(x)[None]
        hidden = layers.norm(hidden).clamp(min=0)[0]
        rows.append(layers.shortcut(x) + layers.output(hidden))
    return torch.stack(rows).max(dim=0).values


def test_features_match_the_reference(case, neck):
    with torch.no_grad():
        image = neck.embed_image(images_of(case))
        text = neck.embed_text(captions_of(case))
    for got, wanted in ((image, 'visual_tse'), (text, 'text_tse')):
        torch.testing.assert_close(got, case[wanted], atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_formula(case, neck):
    """Token by token, with the selection found by sorting."""
    for side, given in (
        ('image', images_of(case)),
        ('text', captions_of(case)),
    ):
        grads = []
        for hand in (False, True):
            tokens = given.tokens.clone().requires_grad_()
            now = SimpleNamespace(**{**vars(given), 'tokens': tokens})
            if hand:
                out = []
                for i, end in enumerate(given.positions.tolist()):
                    words = range(1, end if side == 'text' else 33)
                    weights = given.attention[i]
                    best = sorted(words, key=lambda p: -weights[p].item())
                    number = int(0.3 * (12 if side == 'text' else 32))
                    layers = getattr(neck, side)
                    out.append(by_hand(layers, tokens[i], best[:number]))
                out = torch.stack(out)
            else:
                out = getattr(neck, f'embed_{side}')(now)
            neck.zero_grad()
            torch.manual_seed(0)
            (out * torch.randn(out.shape)).sum().backward()
            own = {
                n: p.grad.clone()
                for n, p in neck.named_parameters()
                if p.grad is not None
            }
            grads.append({'tokens': tokens.grad, **own})
        one, other = grads
        assert one.keys() == other.keys()
        assert len(one) == 1 + 8
        for name in one:
            torch.testing.assert_close(
                one[name], other[name], atol=1e-5, rtol=1e-4
            )


def test_the_most_attended_are_selected():
    attention = torch.tensor([[9.0, 0.1, 0.5, 0.3, 0.7, 0.2, 0.0]])
    # The class token is left out, however much it attends to itself.
    assert select_patches(attention, 0.5).tolist() == [[4, 2, 3]]
    ends = torch.tensor([5])
    chosen, counts = select_words(attention, ends, 0.6)
    assert chosen.tolist() == [[4, 2, 3]]
    assert counts.tolist() == [3]


def test_the_published_numbers_of_tokens():
    assert select_patches(torch.rand(2, 193), 0.3).shape == (2, 57)
    words, _ = select_words(torch.rand(2, 77), torch.tensor([9, 76]), 0.3)
    assert words.shape == (2, 22)


def test_short_captions_have_words_first_and_then_padding():
    attention = torch.rand(4, 12)
    ends = torch.tensor([1, 2, 4, 11])
    chosen, counts = select_words(attention, ends, 0.5)
    assert counts.tolist() == [0, 1, 3, 5]
    for row, end, count in zip(chosen, ends.tolist(), counts, strict=True):
        words = set(row[:count].tolist())
        assert words <= set(range(1, end))
        assert set(row.tolist()).isdisjoint({0, end})
    # Padding is taken from left to right: the same on any device.
    assert chosen[1].tolist() == [1, 3, 4, 5, 6]


def test_words_alone_take_part_in_the_maximum(case, neck):
    """A caption with fewer words than are selected; one without any."""
    given = captions_of(case)
    given.positions = torch.tensor([1, 2, 3, 4, 5])
    with torch.no_grad():
        before = neck.embed_text(given)
        assert before[0].abs().max() == 0
        torch.testing.assert_close(
            before[1], by_hand(neck.text, given.tokens[1], [1])
        )
        # What stands behind the end has no part in it.
        given.tokens = given.tokens.clone()
        for row, end in enumerate(given.positions.tolist()):
            given.tokens[row, end:] = 9.0
        torch.testing.assert_close(neck.embed_text(given), before)


def test_a_caption_without_words_has_a_finite_gradient(neck, case):
    given = captions_of(case)
    given.positions = torch.ones(5, dtype=torch.long)
    given.tokens = given.tokens.clone().requires_grad_()
    out = F.normalize(neck.embed_text(given), dim=1)
    out.sum().backward()
    assert torch.isfinite(given.tokens.grad).all()


def test_the_batch_norm_sees_all_selected_tokens(case, neck):
    neck.train()
    given = images_of(case)
    neck.embed_image(given)
    chosen = select_patches(given.attention, 0.3)  # (5, 9)
    rows = torch.arange(5)[:, None]
    x = F.normalize(given.tokens[rows, chosen], dim=-1)
    mean = neck.image.hidden(x).mean((0, 1))
    wanted = 0.9 * case['w:visual.mlp.bns.0.running_mean'] + 0.1 * mean
    torch.testing.assert_close(neck.image.norm.running_mean, wanted)


def test_bad_arguments():
    widths = dict(image_width=4, text_width=4)
    for ratio in (0, 1.5, -0.1):
        with pytest.raises(ValueError, match=r'ratio must be in \(0, 1\]'):
            build(ratio=ratio, **widths)
    with pytest.raises(ValueError, match='weight must be >= 0'):
        build(weight=-1, **widths)
    with pytest.raises(
        ValueError, match=r'0\.05 of the 12 words of a caption'
    ):
        select_words(torch.rand(1, 14), torch.tensor([5]), 0.05)
    with pytest.raises(ValueError, match=r'take at least 0\.125'):
        select_patches(torch.rand(1, 9), 0.1)
