"""The head of FAFA against the released losses and by hand."""

import numpy as np
import pytest
import torch

from mmtpr.models.heads import FAFAHead
from mmtpr.models.losses import (
    composition_ranking_loss,
    fda_loss,
    fda_similarity,
    swap_partners,
)
from mmtpr.models.necks import TokenStatisticsNoise
from mmtpr.registry import MODELS


@pytest.fixture(scope='module')
def case(parity_file):
    with np.load(parity_file('fafa_losses.npz')) as file:
        return {key: torch.as_tensor(file[key]) for key in file}


def test_losses_match_the_release(case):
    head = MODELS.build(
        dict(
            type='mmtpr.FAFAHead',
            raw_dim=64,
            topk_tokens=int(case['topk']),
            temperature=float(case['temperature']),
            margin=float(case['margin']),
            hidden_dim=case['mfr_w0'].shape[0],
        )
    )
    query = case['query'].clone().requires_grad_()
    tokens = case['target_tokens'].clone().requires_grad_()
    raw = (case['mfr_query'], case['mfr_target'])
    losses = head(query, tokens, case['qid'], *raw)
    assert sorted(losses) == ['loss_fd', 'loss_fda', 'loss_mfr']
    for name, key in (('loss_fda', 'fda'), ('loss_fd', 'fd')):
        assert losses[name].item() == pytest.approx(case[key].item(), abs=1e-5)
    losses['loss_fda'].backward()
    # The normalisation inside takes the radial part of the gradient away.
    wanted = case['fda_gquery']
    along = (wanted * case['query']).sum(-1, keepdim=True) * case['query']
    torch.testing.assert_close(
        query.grad, wanted - along, atol=1e-5, rtol=1e-4
    )


def test_masked_reasoning_matches_the_release(case):
    head = FAFAHead(raw_dim=64, hidden_dim=case['mfr_w0'].shape[0])
    names = {
        '0.weight': 'w0',
        '0.bias': 'b0',
        '2.weight': 'w1',
        '2.bias': 'b1',
    }
    head.reasoning.predictor.load_state_dict(
        {name: case[f'mfr_{key}'] for name, key in names.items()}
    )
    masks = iter([case['mfr_mask_query'], case['mfr_mask_target']])
    head.reasoning._draw = lambda x: next(masks)
    losses = head(
        case['query'],
        case['target_tokens'],
        case['qid'],
        case['mfr_query'],
        case['mfr_target'],
    )
    assert losses['loss_mfr'].item() == pytest.approx(
        0.5 * case['mfr'].item(), abs=1e-5
    )


def test_the_paper_differs_where_it_says(case):
    ids = torch.tensor([0, 0, *range(1, 11)])
    head = FAFAHead(variant='paper', mfr_weight=0, fda_weight=2.0)
    assert head.same_id_weight == 0.5
    losses = head(case['query'], case['target_tokens'], ids)
    similarity = fda_similarity(case['query'], case['target_tokens'])
    wanted = 2 * fda_loss(similarity, ids, 0.07, 0.5, 'paper')
    assert losses['loss_fda'].item() == pytest.approx(wanted.item(), rel=1e-5)
    released = FAFAHead(mfr_weight=0)(
        case['query'], case['target_tokens'], ids
    )
    ratio = losses['loss_fda'] / (2 * released['loss_fda'])
    assert ratio.item() > 1.5
    assert losses['loss_fd'] != released['loss_fd']


def test_weights_of_zero_leave_losses_out(case):
    head = FAFAHead(fd_weight=0, mfr_weight=0)
    losses = head(case['query'], case['target_tokens'], case['qid'])
    assert list(losses) == ['loss_fda']
    assert [n for n, p in head.named_parameters() if p.requires_grad] == []


def test_temperatures(case):
    args = (case['query'], case['target_tokens'], case['qid'])
    own = FAFAHead(mfr_weight=0, temperature=0.1, learn_temperature=True)
    losses = own(*args, temperature=9.0)
    losses['loss_fda'].backward()
    assert own.temperature.grad.abs() > 0
    own.temperature.data.fill_(-1.0)
    own.zero_grad()
    sum(own(*args).values()).backward()
    assert own.temperature > 0  # bounded, and it can come back
    assert own.temperature.grad.abs() > 0
    given = FAFAHead(mfr_weight=0, temperature=None)
    same = given(*args, temperature=0.1)
    assert same['loss_fda'].item() == pytest.approx(losses['loss_fda'].item())
    with pytest.raises(ValueError, match='temperature of the encoder'):
        given(*args)


def test_noise_is_of_training_only(case):
    noise = dict(type='mmtpr.TokenStatisticsNoise', p=1.0)
    head = FAFAHead(mfr_weight=0, fd_weight=0, noise=noise)
    args = (case['query'], case['target_tokens'], case['qid'])
    plain = FAFAHead(mfr_weight=0, fd_weight=0)(*args)['loss_fda']
    assert head.eval()(*args)['loss_fda'] == plain
    torch.manual_seed(0)
    assert head.train()(*args)['loss_fda'] != plain


def test_noise_is_drawn_in_full_precision(case):
    """Of bfloat16 tokens, under autocast or not, as of their float32."""
    tokens = case['target_tokens'].bfloat16()
    rest = (case['query'].bfloat16(), case['qid'])
    noise = dict(type='mmtpr.TokenStatisticsNoise', p=1.0)
    head = FAFAHead(mfr_weight=0, noise=noise).train()
    seen = []
    head.noise.register_forward_pre_hook(lambda _, x: seen.append(x[0].dtype))

    def losses(tokens, autocast):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            return head(rest[0], tokens, rest[1])

    wanted = losses(tokens.float(), False)
    for autocast in (False, True):
        found = losses(tokens, autocast)
        assert {k: v.item() for k, v in found.items()} == {
            k: v.item() for k, v in wanted.items()
        }
    assert set(seen) == {torch.float32}


def test_noise_moves_means_as_far_as_the_batch_spreads():
    torch.manual_seed(0)
    tokens = torch.randn(400, 16, 3) + 5 * torch.randn(400, 1, 3)
    noise = TokenStatisticsNoise(p=1.0).train()
    moved = (noise(tokens) - tokens).mean(dim=1)
    assert moved.std().item() == pytest.approx(5, rel=0.15)
    assert TokenStatisticsNoise(p=0.0).train()(tokens) is tokens
    one = tokens[:1]
    assert noise(one) is one


def test_wrong_use_is_explained(case):
    args = (case['query'], case['target_tokens'], case['qid'])
    with pytest.raises(ValueError, match=r'topk=33 .* 32 tokens'):
        FAFAHead(mfr_weight=0, topk_tokens=33)(*args)
    with pytest.raises(ValueError, match=r'each of the 12 pairs.*\(11,\)'):
        FAFAHead(mfr_weight=0)(*args[:2], args[2][:11])
    with pytest.raises(ValueError, match='topk_tokens must be at least 1'):
        FAFAHead(mfr_weight=0, topk_tokens=0)
    with pytest.raises(ValueError, match='variant'):
        FAFAHead(mfr_weight=0, variant='draft')
    with pytest.raises(ValueError, match='raw_dim'):
        FAFAHead()
    with pytest.raises(ValueError, match='before projection'):
        FAFAHead(raw_dim=8)(*args)
    with pytest.raises(ValueError, match='temperature must be > 0'):
        FAFAHead(mfr_weight=0, temperature=0)
    with pytest.raises(ValueError, match=r'0\.\.1'):
        TokenStatisticsNoise(p=2)


def test_the_former_name_of_its_tokens_works_and_says_so():
    with pytest.warns(FutureWarning, match='"topk" is now .*"topk_tokens"'):
        head = FAFAHead(mfr_weight=0, topk=3)
    assert head.topk_tokens == 3


def test_the_ranking_of_compositions_is_off_unless_it_is_asked_for(case):
    args = (case['query'], case['target_tokens'], case['qid'])
    plain = FAFAHead(mfr_weight=0)(*args)
    head = FAFAHead(mfr_weight=0, cpl_weight=0.5, topk_tokens=6)
    partners = swap_partners(case['qid'])
    mixed = 3 * case['query'].roll(1, 0)[None]  # normalised by the head
    losses = head(*args, mixed=(mixed, partners))
    wanted = composition_ranking_loss(
        case['query'],
        case['query'].roll(1, 0)[None],
        partners,
        torch.nn.functional.normalize(case['target_tokens'], dim=-1),
        case['qid'],
        0.07,
        6,
    )
    assert losses.keys() - plain.keys() == {'loss_cpl'}
    assert all(losses[name] == plain[name] for name in plain)
    torch.testing.assert_close(losses['loss_cpl'], 0.5 * wanted)
    with pytest.raises(ValueError, match='cpl_weight=0 to do without'):
        head(*args)
    for wrong in (dict(cpl_weight=-1), dict(cpl_partners=0)):
        with pytest.raises(ValueError, match='must be at least 0 and'):
            FAFAHead(mfr_weight=0, **wrong)


def test_a_learned_temperature_serves_both_losses(case):
    head = FAFAHead(mfr_weight=0, cpl_weight=0.5, learn_temperature=True)
    head.temperature.data.fill_(-1.0)  # bounded in place, once
    partners = swap_partners(case['qid'])
    losses = head(
        *(case['query'], case['target_tokens'], case['qid']),
        mixed=(case['query'].roll(1, 0)[None], partners),
    )
    sum(losses.values()).backward()
    assert head.temperature > 0
    assert torch.isfinite(head.temperature.grad)
