"""Words of a caption, read off its image's and its own embedding."""

import math

import pytest
import torch
from retriever_losses import pairs_of, retriever_with

from mmtpr.models.losses import (
    CaptionWordsLoss,
    RetrievalFeatures,
    caption_words_loss,
)


def test_the_formula():
    image = torch.tensor([[9.0, 1.0, -2.0, 0.5]])
    text = torch.tensor([[-9.0, 0.0, 3.0, -1.0]])
    # Word 2 stands twice and counts once; 0 is padding, and absent.
    found = caption_words_loss(image, text, torch.tensor([[2, 3, 2, 0]]))

    def entropy(*logits):
        # Positive where the word is there: -log sigmoid.
        return sum(math.log1p(math.exp(-x)) for x in logits)

    sides = entropy(-9, -1, -2, 0.5), entropy(9, 0, 3, -1)
    assert found.item() == pytest.approx(sum(sides) / 2, rel=1e-6)


def test_one_direction_for_a_word_brings_both_sides_together():
    """Features that no contrast tells apart still learn the words."""
    torch.manual_seed(0)
    tokens = torch.tensor([[1, 2], [1, 3], [4, 2], [4, 3]])
    loss = CaptionWordsLoss(embed_dim=8, vocab_size=5)
    image, text = (torch.randn(4, 8, requires_grad=True) for _ in range(2))
    optim = torch.optim.Adam([image, text, *loss.parameters()], 0.05)
    for _ in range(150):
        features = RetrievalFeatures(
            image, text, torch.zeros(4, dtype=torch.long), tokens=tokens
        )
        optim.zero_grad()
        loss(features).backward()
        optim.step()
    cosine = torch.nn.functional.cosine_similarity
    similarity = cosine(image[:, None], text[None], dim=-1)  # (4, 4)
    assert similarity.argmax(1).tolist() == [0, 1, 2, 3]
    words = loss.words_of(image) > 0
    assert words.nonzero()[:, 1].tolist() == [1, 2, 1, 3, 2, 4, 3, 4]


def test_the_length_of_an_embedding_tells_nothing():
    loss = CaptionWordsLoss(embed_dim=6, vocab_size=9)
    feats = torch.randn(2, 6)
    torch.testing.assert_close(loss.words_of(feats), loss.words_of(5 * feats))
    assert loss.words_of(feats.half()).dtype == torch.float32


def test_rare_words_are_expected_from_the_start():
    loss = CaptionWordsLoss(embed_dim=16, vocab_size=30000)
    features = RetrievalFeatures(
        torch.randn(2, 16),
        torch.randn(2, 16),
        torch.arange(2),
        tokens=torch.tensor([[5, 6, 7], [8, 9, 0]]),
    )
    # 2.5 words of chance 1 / V each, and V that are absent.
    assert loss(features).item() < 2 + 2.5 * (1 + math.log(30000))


retriever = retriever_with(
    words=dict(type='mmtpr.CaptionWordsLoss', weight=0.5)
)
CAPTIONS = [[7], [7, 8], [7, 8, 9], [7, 8, 9, 10]]


def test_a_retriever_fills_in_its_width_and_vocabulary():
    model = retriever()
    inputs, samples = pairs_of(CAPTIONS)
    losses = model.loss(inputs, samples)
    words = model.losses['words']
    wanted = 0.5 * caption_words_loss(
        words.words_of(model.extract_image_feat(inputs['image'])[:, 0]),
        words.words_of(model.extract_text_feat(inputs['tokens'])),
        inputs['tokens'],
    )
    torch.testing.assert_close(losses['loss_words'], wanted)
    losses['loss_words'].backward()
    assert words.classifier.weight.grad.abs().sum() > 0


def test_words_are_told_of_another_embedding():
    """Its width is the neck's, the vocabulary the encoder's."""
    neck = dict(type='mmtpr.TokenSelection', embed_dim=24, hidden_dim=16)
    words = dict(type='mmtpr.CaptionWordsLoss', embedding='tse')
    model = retriever_with(words=words)(necks=dict(tse=neck))
    classifier = model.losses['words'].classifier
    assert classifier.weight.shape == (model.encoder.vocab_size, 24)
    model.loss(*pairs_of(CAPTIONS))['loss_words'].backward()
    assert classifier.weight.grad.abs().sum() > 0


def test_parts_of_a_batch_give_the_same():
    inputs, samples = pairs_of(CAPTIONS)
    losses = [
        retriever(accumulate=parts).loss(inputs, samples)['loss_words']
        for parts in (1, 2)
    ]
    torch.testing.assert_close(*losses)


def test_bad_input_is_told():
    with pytest.raises(ValueError, match='from 0 to 8, got 9'):
        CaptionWordsLoss(embed_dim=4, vocab_size=9, padding=9)
    features = RetrievalFeatures(
        torch.randn(2, 4), torch.randn(2, 4), torch.arange(2)
    )
    with pytest.raises(ValueError, match=r'use mmtpr\.TextPersonRetriever'):
        CaptionWordsLoss(embed_dim=4, vocab_size=9)(features)
