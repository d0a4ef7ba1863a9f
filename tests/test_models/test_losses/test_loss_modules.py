"""The registered losses on small batches."""

import pytest
import torch
import torch.nn.functional as F

from mmtpr.models.losses import (
    RetrievalFeatures,
    cmpm_loss,
    id_loss,
    itc_loss,
    sdm_loss,
)
from mmtpr.registry import MODELS

VOCAB = 50


@pytest.fixture
def features():
    torch.manual_seed(0)
    labels = torch.full((6, 5), -100)
    labels[0, 1], labels[2, 3] = 7, 9
    return RetrievalFeatures(
        image_feats=torch.randn(6, 16),
        text_feats=torch.randn(6, 16),
        pids=torch.tensor([0, 0, 1, 2, 2, 3]),
        scale=20.0,
        image_ids=torch.tensor([0, 0, 1, 2, 3, 4]),
        pid_range=(0, 3),
        image_tokens=torch.randn(6, 4, 24),
        mlm_text_tokens=torch.randn(6, 5, 32),
        mlm_labels=labels,
    )


def _mlm(**kwargs):
    torch.manual_seed(1)
    return MODELS.build(
        dict(
            type='mmtpr.MLMLoss',
            text_width=32,
            image_width=24,
            vocab_size=VOCAB,
            layers=1,
            heads=2,
            **kwargs,
        )
    )


def test_pair_losses_weight_their_function(features):
    f = features
    wanted = {
        'SDMLoss': sdm_loss(f.image_feats, f.text_feats, f.pids, 20.0),
        'ITCLoss': itc_loss(f.image_feats, f.text_feats, 20.0),
        'CMPMLoss': cmpm_loss(f.image_feats, f.text_feats, f.pids),
    }
    for name, value in wanted.items():
        loss = MODELS.build(dict(type=f'mmtpr.{name}', weight=0.5))
        assert loss.across_processes
        assert loss(f).item() == pytest.approx(value.item() / 2)


@pytest.mark.parametrize('positives', ['image_id', 'pid'])
def test_itc_positives(features, positives):
    loss = MODELS.build(dict(type='mmtpr.ITCLoss', positives=positives))
    ids = features.pids if positives == 'pid' else features.image_ids
    wanted = itc_loss(features.image_feats, features.text_feats, 20.0, ids)
    assert loss(features).item() == pytest.approx(wanted.item())


@pytest.mark.parametrize('positives', ['pair', 'image_id', 'pid'])
def test_itc_of_single_pairs(features, positives):
    loss = MODELS.build(dict(type='mmtpr.ITCLoss', positives=positives))
    pairs = loss.pair_losses(features)
    assert pairs.shape == (6,)
    assert loss(features).item() == pytest.approx(pairs.mean().item())
    features.label_hat = torch.tensor([1, 0, 1, 1, 0, 1])
    assert loss(features).item() == pytest.approx(
        pairs[[0, 2, 3, 5]].mean().item()
    )
    features.label_hat = torch.zeros(6, dtype=torch.long)
    assert loss(features).item() == 0
    with pytest.raises(ValueError, match='as many images as texts, got 6 and'):
        itc_loss(
            *(features.image_feats, features.text_feats[:5], 20.0),
            *(features.pids, features.pids[:5]),
            reduction='none',
        )


def test_itc_says_what_is_wrong(features):
    with pytest.raises(ValueError, match="'pair', 'image_id' or 'pid'"):
        MODELS.build(dict(type='mmtpr.ITCLoss', positives='caption'))
    loss = MODELS.build(dict(type='mmtpr.ITCLoss', positives='image_id'))
    features.image_ids = None
    with pytest.raises(ValueError, match='image_id in every'):
        loss(features)


def test_id_loss_classifies_both_modalities_with_one_classifier(features):
    loss = MODELS.build(
        dict(type='mmtpr.IDLoss', num_classes=4, embed_dim=16, weight=2.0)
    )
    assert sum(p.numel() for p in loss.parameters()) == 4 * 16 + 4
    assert loss.classifier.weight.std().item() == pytest.approx(1e-3, rel=0.5)
    assert loss.classifier.bias.abs().max() == 0
    wanted = 2 * id_loss(
        loss.classifier(features.image_feats),
        loss.classifier(features.text_feats),
        features.pids,
    )
    assert loss(features).item() == pytest.approx(wanted.item())
    with torch.autocast('cpu', torch.bfloat16):
        assert loss(features).item() == pytest.approx(wanted.item())


def test_id_loss_names_a_gap_without_looking_at_the_device(features):
    loss = MODELS.build(dict(type='mmtpr.IDLoss', num_classes=4, embed_dim=16))
    features.pid_range = (0, 117)
    features.pids = torch.empty(6, dtype=torch.long, device='meta')
    with pytest.raises(ValueError, match='pids from 0 to 117'):
        loss(features)


def test_mlm_is_the_mean_over_masked_tokens_only(features):
    loss = _mlm()
    fused = loss.fuse(features.mlm_text_tokens, features.image_tokens)
    logits = loss.mlm_head(fused)
    assert logits.shape == (6, 5, VOCAB)
    wanted = F.cross_entropy(
        logits.flatten(0, 1), features.mlm_labels.flatten(), ignore_index=-100
    )
    assert loss(features).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_mlm_without_a_masked_token_is_zero_and_reaches_all_parameters(
    features,
):
    loss = _mlm()
    features.mlm_labels.fill_(-100)
    value = loss(features)
    assert value.item() == 0
    value.backward()
    assert all(p.grad is not None for p in loss.parameters())
    assert sum(p.grad.abs().sum() for p in loss.parameters()) == 0


def test_mlm_learns_to_read_the_image(features):
    """The word can be known from the image tokens alone."""
    loss = _mlm()
    features.mlm_text_tokens = torch.zeros(6, 5, 32)
    features.mlm_labels[:, 0] = torch.arange(6)
    optimizer = torch.optim.Adam(loss.parameters(), 3e-3)
    first = loss(features).item()
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(features)
        value.backward()
        optimizer.step()
    assert value.item() < 0.1 * first


def test_mlm_starts_like_irra():
    loss = MODELS.build(
        dict(
            type='mmtpr.MLMLoss',
            text_width=128,
            image_width=128,
            vocab_size=1000,
        )
    )
    assert len(loss.cross_modal_transformer.resblocks) == 4
    assert loss.cross_attn.num_heads == 2
    wanted = {
        loss.cross_attn.in_proj_weight: 128**-0.5,
        loss.cross_attn.out_proj.weight: (128 * 8) ** -0.5,
        loss.mlm_head.dense.weight: 256**-0.5,
        loss.mlm_head.fc.weight: (128 * 8) ** -0.5,
    }
    for weight, std in wanted.items():
        assert weight.std().item() == pytest.approx(std, rel=0.05)


def test_mlm_without_masked_captions_names_the_transform(features):
    features.mlm_labels = None
    with pytest.raises(ValueError, match=r'mmtpr\.MaskTokens'):
        _mlm()(features)
