"""Hard negatives, matching and attribute prompts against plain loops."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mmtpr.models.losses import (
    AttributePromptLoss,
    CrossModalFeatures,
    CrossModalMLMLoss,
    ITMLoss,
    RetrievalFeatures,
    hard_negatives,
)
from mmtpr.models.losses.functional import draw_one, hidden_rows
from mmtpr.models.losses.matching import hidden_word_loss, pick
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_swin_bert_cfg, write_tiny_vocab

PROMPTS = [
    ('a man', 'a woman'),
    ('a person wearing a red shirt', 'a person in the blue skirt'),
    ('a person with hat', 'a person'),
]


def test_negatives_never_share_the_id_and_are_drawn_at_once(monkeypatch):
    torch.manual_seed(0)
    image, text = torch.randn(12, 8), torch.randn(12, 8)
    ids = torch.tensor([0, 1, 0, 2, 3, 3, 4, 5, 6, 7, 7, 7])
    calls = []
    module = 'mmtpr.models.losses.matching.draw_one'

    def count(*args, **kwargs):
        calls.append(args[0].shape)
        return draw_one(*args, **kwargs)

    monkeypatch.setattr(module, count)
    for _ in range(100):
        images, captions, counts = hard_negatives(image, text, 10.0, ids)
        assert (ids[images] != ids).all()
        assert (ids[captions] != ids).all()
        assert counts.all()
    assert calls == [(24, 12)] * 100


def test_negatives_follow_the_softmax():
    torch.manual_seed(0)
    image, text = torch.randn(4, 8), torch.randn(4, 8)
    cosine = F.normalize(image, dim=1) @ F.normalize(text, dim=1).t()
    drawn = [hard_negatives(image, text, 3.0)[:2] for _ in range(4000)]
    for which, logits in enumerate((3 * cosine.t(), 3 * cosine)):
        weights = logits.softmax(1) + 1e-5
        weights.fill_diagonal_(0)
        found = torch.stack([pair[which] for pair in drawn])
        share = F.one_hot(found, 4).float().mean(0)
        torch.testing.assert_close(
            share, weights / weights.sum(1, keepdim=True), atol=0.03, rtol=0
        )


def test_rows_without_a_negative_do_not_count():
    image, text = torch.randn(3, 8), torch.randn(3, 8)
    *_, counts = hard_negatives(image, text, 1.0, torch.zeros(3).long())
    assert not counts.any()
    *_, counts = hard_negatives(image, text, 1.0, torch.tensor([0, 0, 1]))
    assert counts.all()


def test_negatives_of_features_that_are_not_finite():
    """The step goes on, so that the loss can tell of it."""
    torch.manual_seed(0)
    image, text = torch.randn(6, 8), torch.randn(6, 8)
    image[1], text[4] = float('nan'), float('inf')
    ids = torch.tensor([0, 0, 1, 1, 2, 2])
    for scale in (10.0, torch.tensor(float('nan'))):
        images, captions, counts = hard_negatives(image, text, scale, ids)
        assert (ids[images] != ids).all()
        assert (ids[captions] != ids).all()
        assert counts.all()


def test_matching_of_features_that_are_not_finite_is_nan(encoder, features):
    states = features.text_embeds.clone()
    states[0] = float('nan')
    feats = features.text_feats.clone()
    feats[0] = float('nan')
    broken = replace(features, text_embeds=states, text_feats=feats)
    assert ITMLoss()(broken, encoder).isnan()


@pytest.fixture(scope='module')
def encoder():
    pytest.importorskip('transformers', reason='needs the extra [blip2]')
    pytest.importorskip('mmpretrain.models', reason='needs [openmmlab]')
    torch.manual_seed(0)
    return MODELS.build(tiny_swin_bert_cfg()).eval()


@pytest.fixture(scope='module')
def features(encoder):
    torch.manual_seed(1)
    tokens = torch.randint(5, 28, (6, 9))
    tokens[2, 5:] = 0
    mask = encoder.text_mask(tokens)
    image, embeds = encoder.encode_image(torch.randn(6, 3, 64, 32), True)
    text, states = encoder.encode_text(tokens, mask, True)
    labels = torch.full_like(tokens, -100)
    labels[:, 1:3] = tokens[:, 1:3]
    return CrossModalFeatures(
        image_feats=image,
        text_feats=text,
        pids=torch.tensor([0, 1, 1, 2, 3, 4]),
        scale=1 / encoder.temperature,
        text_embeds=states,
        text_mask=mask,
        keys_values=encoder.image_keys_values(embeds),
        mlm_tokens=tokens.clone().index_fill(1, torch.tensor([1, 2]), 4),
        mlm_labels=labels,
        attributes=torch.tensor(
            [[0, 1, -1], [1, 1, 0], [1, 0, 0], [0, -1, 0], [1, 1, 0], [0] * 3]
        ),
    )


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_matching_is_the_mean_over_one_right_and_two_wrong(
    encoder, features, smoothing
):
    loss = ITMLoss(label_smoothing=smoothing)
    torch.manual_seed(5)
    found = loss(features, encoder)
    torch.manual_seed(5)
    images, captions, _ = hard_negatives(
        features.image_feats,
        features.text_feats,
        features.scale,
        features.pids,
    )
    expected = []
    for i in range(6):
        for image, text, label in (
            (i, i, 1),
            (int(images[i]), i, 0),
            (i, int(captions[i]), 0),
        ):
            fused = encoder.fuse(
                features.text_embeds[text : text + 1],
                features.text_mask[text : text + 1],
                pick(features.keys_values, torch.tensor([image])),
            )
            expected.append(
                F.cross_entropy(
                    encoder.match(fused),
                    torch.tensor([label]),
                    label_smoothing=smoothing,
                )
            )
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_matching_of_one_person_has_only_right_pairs(encoder, features):
    same = replace(features, pids=torch.zeros(6, dtype=torch.long))
    fused = encoder.fuse(
        features.text_embeds, features.text_mask, features.keys_values
    )
    expected = -encoder.match(fused).log_softmax(1)[:, 1].mean()
    torch.testing.assert_close(ITMLoss()(same, encoder), expected)


@pytest.fixture
def attributes(tmp_path):
    pytest.importorskip('tokenizers', reason='needs the extra [blip2]')
    return AttributePromptLoss(
        PROMPTS,
        vocab=write_tiny_vocab(tmp_path / 'vocab.txt'),
        num_matched=6,
        label_smoothing=0.4,
    )


def entropy(logits, labels, smoothing=0.4):
    """Mean over what is known, as plain as can be."""
    total, number = 0.0, 0
    for row, label in zip(logits, labels, strict=True):
        if label >= 0:
            target = torch.full((2,), smoothing / 2)
            target[label] += 1 - smoothing
            total = total - (target * row.log_softmax(0)).sum()
            number += 1
    return total / max(number, 1)


def test_contrast_and_matching_of_attributes(encoder, features, attributes):
    labels = features.attributes
    feats, embeds = encoder.encode_text(
        attributes.tokens, attributes.mask, True
    )
    image = F.normalize(features.image_feats, dim=1)
    logits = features.scale * image @ F.normalize(feats, dim=1).t()
    expected = sum(
        entropy(logits[:, 2 * a : 2 * a + 2], labels[:, a]) for a in range(3)
    )
    found = attributes.contrast(features, feats)
    torch.testing.assert_close(found, expected / 3)

    # Column 2a: the sentence for 0 fits where the label is 0.
    fits = torch.stack([1 - labels, labels], 2).flatten(1)
    fits[(fits > 1) | (fits < 0)] = -1
    assert fits[0].tolist() == [1, 0, 0, 1, -1, -1]
    expected = 0.0
    for column in range(6):
        rows = torch.full((6,), column)
        fused = encoder.fuse(
            embeds[rows], attributes.mask[rows], features.keys_values
        )
        expected += entropy(encoder.match(fused), fits[:, column])
    found = attributes.matching(features, encoder, embeds, fits)
    torch.testing.assert_close(found, expected / 6)


def test_hidden_words_meet_images_they_fit(
    encoder, features, attributes, monkeypatch
):
    seen = {}

    def spy(_, tokens, labels, mask, keys_values, index):
        seen.update(tokens=tokens, labels=labels, keys=keys_values[0][0])
        found = hidden_word_loss(encoder, tokens, labels, mask, keys_values)
        # Words of sentences that fit no image are among these rows.
        rows = hidden_rows(labels).tolist()
        assert set(rows) <= set(index.tolist())
        again = hidden_word_loss(
            encoder, tokens, labels, mask, keys_values, index
        )
        torch.testing.assert_close(again, found)
        return again

    module = 'mmtpr.models.losses.attribute_prompts.hidden_word_loss'
    monkeypatch.setattr(module, spy)
    labels = features.attributes
    for _ in range(10):
        assert attributes(features, encoder).isfinite()
        # The last sentence fits no image of the batch.
        used = (seen['labels'] != -100).any(1)
        assert used.tolist() == [True] * 5 + [False]
        keys = features.keys_values[0][0]
        for row in range(5):
            same = (keys == seen['keys'][row]).flatten(1).all(1)
            image = int(same.nonzero()[0, 0])
            assert labels[image, row // 2] == row % 2
        hidden = seen['labels'][used]
        tokens = attributes.tokens[used]
        assert (hidden[hidden >= 0] == tokens[hidden >= 0]).all()


def test_what_is_missing_is_named(encoder, features, attributes):
    without = replace(features, attributes=None)
    with pytest.raises(ValueError, match=r'3 attributes.*have none.*"label"'):
        attributes(without, encoder)
    with pytest.raises(ValueError, match='have 2'):
        attributes(
            replace(features, attributes=torch.zeros(6, 2).long()), encoder
        )
    with pytest.raises(ValueError, match='MaskBertTokens'):
        CrossModalMLMLoss()(replace(features, mlm_labels=None), encoder)
    plain = RetrievalFeatures(
        features.image_feats, features.text_feats, features.pids
    )
    for loss in (ITMLoss(), CrossModalMLMLoss(), attributes):
        with pytest.raises(TypeError, match='CrossModalPersonRetriever'):
            loss(plain, encoder)
        with pytest.raises(TypeError, match='needs a cross encoder'):
            loss(features)


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match='pairs of sentences'):
        AttributePromptLoss(['a man', 'a woman'])
    with pytest.raises(ValueError, match='pairs of sentences'):
        AttributePromptLoss([])
    with pytest.raises(ValueError, match='positives must be'):
        ITMLoss(positives='caption')
    with pytest.raises(ValueError, match='label_smoothing'):
        ITMLoss(label_smoothing=1.0)


def test_one_draw_is_that_of_multinomial():
    weights = torch.rand(50, 9) + 1e-3
    weights[:, 4] = 0
    for seed in range(5):
        torch.manual_seed(seed)
        wanted = torch.multinomial(weights, 1)[:, 0]
        torch.manual_seed(seed)
        drawn = draw_one(weights)
        assert torch.equal(drawn, wanted)
        assert (drawn != 4).all()
