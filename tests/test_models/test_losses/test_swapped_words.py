"""Captions above themselves with one word changed."""

import math

import pytest
import torch
from retriever_losses import pairs_of, retriever_with

from mmtpr.models.losses import (
    RetrievalFeatures,
    SwappedWordsLoss,
    swapped_words_loss,
)


def test_the_formula():
    image = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    other = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 1.0]])
    changed = torch.tensor([True, True, False])
    found = swapped_words_loss(image, text, other, changed, 10.0)
    wanted = (math.log1p(math.exp(-10)) + math.log1p(math.exp(10))) / 2
    assert found.item() == pytest.approx(wanted, rel=1e-6)


def test_without_a_changed_caption_it_is_zero_and_has_a_gradient():
    feats = [torch.randn(3, 4, requires_grad=True) for _ in range(3)]
    loss = swapped_words_loss(*feats, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert all((f.grad == 0).all() for f in feats)


retriever = retriever_with(
    swapped=dict(type='mmtpr.SwappedWordsLoss', weight=2.0)
)
CAPTIONS = [[7, 10 + row, 8, 9] for row in range(4)]


def test_in_a_retriever():
    model = retriever()
    inputs, samples = pairs_of(CAPTIONS)
    torch.manual_seed(5)
    losses = model.loss(inputs, samples)
    assert set(losses) == {'loss_itc', 'loss_swapped'}
    from mmtpr.text.word_swaps import swap_tokens

    torch.manual_seed(5)
    changed = swap_tokens(inputs['tokens'])
    assert (changed != inputs['tokens']).any(1).all()
    image = model.extract_image_feat(inputs['image'])[:, 0]
    text = model.extract_text_feat(inputs['tokens'])
    other = model.extract_text_feat(changed)
    wanted = 2 * swapped_words_loss(
        image, text, other, torch.ones(4, dtype=torch.bool), model.scale()
    )
    torch.testing.assert_close(losses['loss_swapped'], wanted)
    losses['loss_swapped'].backward()


def test_parts_of_a_batch_give_the_same():
    losses = []
    for parts in (1, 2):
        model = retriever(accumulate=parts)
        inputs, samples = pairs_of(CAPTIONS)
        torch.manual_seed(5)
        losses.append(model.loss(inputs, samples)['loss_swapped'])
    torch.testing.assert_close(*losses)


def test_a_retriever_that_makes_none_is_told():
    features = RetrievalFeatures(
        torch.randn(2, 4), torch.randn(2, 4), torch.arange(2)
    )
    with pytest.raises(ValueError, match=r'use mmtpr\.TextPersonRetriever'):
        SwappedWordsLoss()(features)
