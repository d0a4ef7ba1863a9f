"""The losses of FAFA against the released implementation and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtpr.models.losses.fine_grained import (
    MaskedFeatureReasoning,
    fda_loss,
    fda_similarity,
    feature_diversity_loss,
)


@pytest.fixture(scope='module')
def case(parity_file):
    with np.load(parity_file('fafa_losses.npz')) as file:
        return {key: torch.as_tensor(file[key]) for key in file}


def test_similarity_and_fda_match_the_release(case):
    query = case['query'].requires_grad_()
    tokens = case['target_tokens'].requires_grad_()
    similarity = fda_similarity(query, tokens, topk=int(case['topk']))
    torch.testing.assert_close(
        similarity, case['similarity'], atol=1e-5, rtol=0
    )
    loss = fda_loss(similarity, case['qid'], float(case['temperature']))
    assert loss.item() == pytest.approx(case['fda'].item(), abs=1e-5)
    loss.backward()
    for got, key in ((query, 'fda_gquery'), (tokens, 'fda_gtokens')):
        torch.testing.assert_close(got.grad, case[key], atol=1e-5, rtol=1e-4)


def test_diversity_matches_the_release(case):
    tokens = case['target_tokens'].detach().clone().requires_grad_()
    loss = feature_diversity_loss(tokens, margin=float(case['margin']))
    assert loss.item() == pytest.approx(case['fd'].item(), abs=1e-5)
    loss.backward()
    torch.testing.assert_close(
        tokens.grad, case['fd_gtokens'], atol=1e-5, rtol=1e-4
    )


def test_masked_reasoning_matches_the_release(case):
    module = MaskedFeatureReasoning(64, hidden_dim=40)
    module.predictor.load_state_dict(
        {
            '0.weight': case['mfr_w0'],
            '0.bias': case['mfr_b0'],
            '2.weight': case['mfr_w1'],
            '2.bias': case['mfr_b1'],
        }
    )
    masks = (case['mfr_mask_query'], case['mfr_mask_target'])
    loss = module(case['mfr_query'], case['mfr_target'], masks)
    assert loss.item() == pytest.approx(case['mfr'].item(), abs=1e-5)


def test_paper_variant_sums_directions_and_halves_same_ids():
    torch.manual_seed(0)
    similarity, ids = torch.randn(4, 4), torch.tensor([0, 0, 1, 2])
    labels = torch.eye(4)
    labels[0, 1] = labels[1, 0] = 0.5
    labels = labels / labels.sum(1, keepdim=True)
    expected = 0.0
    for logits in (similarity / 0.1, similarity.t() / 0.1):
        p = logits.softmax(1)
        expected += (p * (p.log() - (labels + 1e-8).log())).sum(1).mean()
    got = fda_loss(similarity, ids, 0.1, same_id_weight=0.5, variant='paper')
    torch.testing.assert_close(got, expected)
    released = fda_loss(similarity, ids, 0.1, same_id_weight=0.5)
    torch.testing.assert_close(2 * released, got)


def test_paper_variant_of_diversity_stays_within_an_image():
    tokens = F.normalize(torch.ones(2, 2, 3), dim=-1)
    loss = feature_diversity_loss(tokens, margin=0.5, variant='paper')
    assert loss.item() == pytest.approx(0.5)
    apart = torch.eye(3)[None, :2]
    assert feature_diversity_loss(apart, variant='paper').item() == 0


def test_pool_is_cut_to_max_tokens():
    torch.manual_seed(0)
    tokens = F.normalize(torch.ones(4, 8, 3), dim=-1)
    loss = feature_diversity_loss(tokens, margin=0.0, max_tokens=5)
    assert loss.item() == pytest.approx(20 / 25)


def test_masks_are_drawn_at_the_ratio():
    torch.manual_seed(0)
    module = MaskedFeatureReasoning(1000, mask_ratio=0.3)
    assert module._draw(torch.zeros(50, 1000)).mean().item() == pytest.approx(
        0.3, abs=0.01
    )


def test_bad_arguments_are_named():
    tokens = torch.zeros(2, 4, 3)
    with pytest.raises(ValueError, match=r'topk=5 .* 4 tokens'):
        fda_similarity(torch.zeros(2, 3), tokens, topk=5)
    with pytest.raises(ValueError, match=r'shape \(2, 3\)'):
        fda_loss(torch.zeros(2, 3), torch.zeros(2), 0.1)
    with pytest.raises(ValueError, match='variant'):
        feature_diversity_loss(tokens, variant='draft')
    with pytest.raises(ValueError, match='mask_ratio'):
        MaskedFeatureReasoning(3, mask_ratio=1.5)


def test_the_variant_sets_the_label_of_equal_ids():
    torch.manual_seed(0)
    similarity, ids = torch.randn(4, 4), torch.tensor([0, 0, 1, 2])
    for variant, weight in (('paper', 0.5), ('released', 1.0)):
        found = fda_loss(similarity, ids, 0.1, variant=variant)
        assert found == fda_loss(similarity, ids, 0.1, weight, variant)


@pytest.mark.parametrize('topk', [2, 5])
def test_similarity_is_float32_under_autocast(topk):
    torch.manual_seed(0)
    query = F.normalize(torch.randn(3, 64), dim=-1)
    tokens = F.normalize(torch.randn(4, 5, 64), dim=-1)
    wanted = fda_similarity(query, tokens, topk)
    with torch.autocast('cpu', torch.bfloat16):
        found = fda_similarity(query, tokens, topk)
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)
    half = fda_similarity(query.bfloat16(), tokens.bfloat16(), topk)
    assert half.dtype == torch.float32


@pytest.mark.parametrize('temperature', [0, -0.1, float('nan')])
def test_a_temperature_that_divides_nothing(temperature):
    with pytest.raises(ValueError, match='temperature must be > 0'):
        fda_loss(torch.eye(2), torch.arange(2), temperature)


def test_empty_batches_are_refused():
    with pytest.raises(ValueError, match='batch without pairs'):
        fda_loss(torch.zeros(0, 0), torch.zeros(0).long(), 0.1)
    for variant in ('paper', 'released'):
        with pytest.raises(ValueError, match='batch without tokens'):
            feature_diversity_loss(torch.zeros(0, 3, 4), variant=variant)
    with pytest.raises(ValueError, match='empty batch'):
        MaskedFeatureReasoning(4)(torch.zeros(0, 4), torch.zeros(0, 4))


def test_bool_masks():
    torch.manual_seed(0)
    reasoning = MaskedFeatureReasoning(6)
    query, target = torch.randn(2, 3, 6)
    masks = tuple(torch.rand(2, 3, 6) < 0.4)
    numbers = tuple(mask.float() for mask in masks)
    wanted = reasoning(query, target, numbers)
    assert reasoning(query, target, masks) == wanted
