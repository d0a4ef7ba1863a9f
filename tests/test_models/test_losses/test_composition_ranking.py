"""The ranking loss of composition against a loop over triplets."""

import pytest
import torch
import torch.nn.functional as F

from mmtpr.models.losses import composition_ranking_loss, swap_partners


def case(ids, number=2, dim=8, tokens=5):
    torch.manual_seed(0)
    ids = torch.tensor(ids)
    images, sentences = torch.randn(2, len(ids), dim)
    partners = swap_partners(ids, number)

    def compose(image, sentence):
        return F.normalize(images[image] + sentences[sentence], dim=-1)

    own = torch.arange(len(ids))
    mixed = torch.stack([compose(own, some) for some in partners])
    targets = F.normalize(torch.randn(len(ids), tokens, dim), dim=-1)
    return compose, compose(own, own), mixed, partners, targets, ids


def by_hand(compose, partners, targets, ids, temperature, topk):
    """The formula of the docstring, one exponential after the other."""

    def term(image, sentence, target):
        cosines = targets[target] @ compose(image, sentence)
        return (cosines.sort().values[-topk:].mean() / temperature).exp()

    losses = []
    for i in range(len(ids)):
        wrong = [
            term(i, int(row[i]), i)
            for row in partners
            if ids[row[i]] != ids[i]
        ]
        for row in partners:
            j = row.tolist().index(i)
            if ids[j] != ids[i]:
                wrong.append(term(j, i, i))
        if wrong:
            true = term(i, i, i)
            losses.append(-(true / (true + sum(wrong))).log())
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    'ids', [[3, 1, 2, 9, 4], [0, 0, 1, 1, 2, 2], [5, 5, 5, 5, 5, 1]]
)
@pytest.mark.parametrize('topk', [1, 3, 5])
def test_it_is_the_formula(ids, topk):
    compose, query, mixed, partners, targets, ids = case(ids)
    wanted = by_hand(compose, partners, targets, ids, 0.1, topk)
    found = composition_ranking_loss(
        query, mixed, partners, targets, ids, 0.1, topk
    )
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_true_composition_is_drawn_near_and_mixed_ones_away():
    _, query, mixed, partners, targets, ids = case([3, 1, 2, 9, 4, 4])
    query.requires_grad_(), mixed.requires_grad_(), targets.requires_grad_()
    args = (query, mixed, partners, targets, ids, 0.1, 1)
    composition_ranking_loss(*args).backward()
    for leaf in (query, mixed, targets):
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().sum() > 0
    # A step against the gradient raises s(q(i, i), t_i).
    moved = query.detach() - 1e-3 * query.grad
    before, after = (
        torch.einsum('bd,btd->bt', x, targets.detach()).amax(1)
        for x in (query.detach(), moved)
    )
    assert (after > before).all()


def test_triplets_of_one_group_are_no_negatives():
    """What they are composed of changes nothing."""
    _compose, query, mixed, partners, targets, ids = case([7, 7, 7, 7, 7, 1])
    same = ids[partners] == ids
    assert same.any()
    assert not same.all()
    other = torch.where(same[..., None], -mixed, mixed)
    args = (partners, targets, ids, 0.1)
    wanted = composition_ranking_loss(query, mixed, *args)
    assert composition_ranking_loss(query, other, *args) == wanted


def test_every_partner_is_met_once_and_is_of_another_group():
    torch.manual_seed(1)
    for size in range(2, 12):
        ids = torch.arange(size)[torch.randperm(size)] // 2
        for number in range(1, size):
            partners = swap_partners(ids, number)
            assert partners.shape == (number, size)
            for row in partners:
                assert sorted(row.tolist()) == list(range(size))
            # No image meets a sentence twice, or its own.
            for column in partners.t().tolist():
                assert len(set(column)) == number
            assert (partners != torch.arange(size)).all()
        if size >= 4:
            assert (ids[swap_partners(ids)] != ids).all()


def test_partners_depend_on_the_ids_alone():
    ids = torch.tensor([4, 2, 2, 8, 6, 1])
    state = torch.get_rng_state()
    assert torch.equal(swap_partners(ids, 3), swap_partners(ids.clone(), 3))
    assert torch.equal(state, torch.get_rng_state())


def test_wrong_use_is_explained():
    _, *args = case([0, 0, 1, 2])
    args[-1] = torch.tensor([6, 6, 6, 6])
    with pytest.raises(ValueError, match=r'All 4 triplets .* id 6.*two ids'):
        composition_ranking_loss(*args, 0.1)
    args[-1] = torch.tensor([6, 6, 6])
    with pytest.raises(ValueError, match=r'ids \(B, \), got .*\(3,\)'):
        composition_ranking_loss(*args, 0.1)
    args[-1] = torch.tensor([0, 0, 1, 2])
    with pytest.raises(ValueError, match='temperature must be > 0'):
        composition_ranking_loss(*args, 0.0)
    with pytest.raises(ValueError, match=r'topk=6 .* 5 tokens'):
        composition_ranking_loss(*args, 0.1, 6)
    for ids, number in (([3], 1), ([1, 2, 3], 3), ([1, 2], 0)):
        with pytest.raises(ValueError, match=f'cpl_partners={number} .*batch'):
            swap_partners(torch.tensor(ids), number)
