"""Queries of several images, and of what is not wanted."""

import pytest
import torch
import torch.nn.functional as F

from mmtpr.structures import RetrievalDataSample, stack_batch
from mmtpr.structures.composed_rows import gallery_rows, query_rows
from mmtpr.structures.query_parts import (
    mean_of_parts,
    negative_positions,
    subtract_negatives,
)
from mmtpr.text.negative_text import check_negative


def sample(**meta):
    return RetrievalDataSample(metainfo=meta)


def test_a_query_of_one_part_keeps_its_vector_to_the_bit():
    feats = F.normalize(torch.randn(3, 4), dim=-1)
    assert mean_of_parts(feats, [0, 1, 2], 3) is feats


def test_so_it_does_beside_one_of_several_parts():
    feats = F.normalize(torch.randn(65, 48), dim=-1)
    found = mean_of_parts(feats, [*range(64), 63], 64)
    assert torch.equal(found[:63], feats[:63])


def test_the_mean_of_parts_has_length_one():
    feats = F.normalize(torch.randn(4, 5), dim=-1)
    found = mean_of_parts(feats, [0, 1, 1, 1], 2)
    torch.testing.assert_close(found[0], feats[0])
    wanted = F.normalize(feats[1:].mean(0), dim=-1)
    torch.testing.assert_close(found[1], wanted)


def test_what_is_not_wanted_lowers_the_score():
    """The ranking is that of cos(q, x) - weight * cos(n, x)."""
    query, negative, *items = F.normalize(torch.randn(12, 6), dim=-1)
    items = torch.stack(items)
    plain, own = sample(), sample(negative_weight=2.0)
    for one in (plain, own):
        one.set_metainfo(dict(negative_text='a hat'))
    for one, weight in ((plain, 0.5), (own, 2.0)):
        one.features = query.clone()
        subtract_negatives([one], negative[None])
        assert one.features.norm().item() == pytest.approx(1)
        wanted = items @ query - weight * (items @ negative)
        found = items @ one.features
        assert found.argsort().tolist() == wanted.argsort().tolist()


def test_a_query_of_which_nothing_is_left_is_told():
    query = F.normalize(torch.randn(6), dim=-1)
    other = F.normalize(torch.randn(6), dim=-1)
    for negative, weight in ((query, 1.0), (other, 1e39)):
        one = sample(negative_text='a hat', negative_weight=weight)
        one.set_metainfo(dict(caption='a man'))
        beside = sample(negative_text='a bag')
        one.features, beside.features = query.clone(), query.clone()
        told = r'left of the query "a man \[not: a hat, times 1'
        with pytest.raises(ValueError, match=told):
            subtract_negatives([beside, one], torch.stack([other, negative]))
    broken = sample(negative_text='a hat')
    broken.features = query * float('nan')  # told where queries are stacked
    subtract_negatives([broken], other[None])
    assert broken.features.isnan().all()


def test_a_batch_has_a_row_for_each_image_of_a_query():
    images = torch.arange(4.0).view(4, 1, 1, 1)
    samples = [sample(role='query'), sample(role='query'), sample(pid=1)]
    for one in samples[:2]:
        one.tokens = torch.ones(2, dtype=torch.long)
    batch = stack_batch(
        dict(image=[images[0], images[1:3], images[3]]), samples
    )
    assert batch['rows'] == dict(image=[0, 1, 1, 2], tokens=[0, 1])
    assert torch.equal(batch['inputs']['image'], images)
    inputs = dict(
        batch['inputs'],
        image_index=torch.tensor(batch['rows']['image']),
        tokens_index=torch.tensor(batch['rows']['tokens']),
    )
    rows, tokens, owners, queries = query_rows(inputs, samples)
    assert (rows, tokens, owners) == ([0, 1, 2], [0, 1, 1], [0, 1, 1])
    assert queries == samples[:2]
    assert gallery_rows(inputs, samples)[0] == [3]


def test_a_gallery_item_has_one_image():
    item = sample(role='gallery', img_path=['a.jpg', 'b.jpg'])
    inputs = dict(image=torch.zeros(2, 1), image_index=torch.tensor([0, 0]))
    with pytest.raises(ValueError, match='several images: only queries may'):
        gallery_rows(inputs, [item])


def test_wrong_negatives_are_explained():
    told = [sample(role='query', negative_text='not in red')]
    with pytest.raises(
        ValueError, match=r'"not in red".*do not come together'
    ):
        negative_positions(told, {})
    with pytest.raises(ValueError, match='do not come together'):
        negative_positions(
            [sample()], dict(negative_tokens_index=torch.tensor([0]))
        )
    check_negative(None, None, 'x')
    check_negative('a hat', 0.2, 'x')
    for text, weight, why in (
        (' ', None, 'a sentence with words'),
        (3, None, 'a sentence with words'),
        (None, 0.5, 'without negative_text'),
        ('a', 0, 'a positive number'),
        ('a', float('inf'), 'a positive number'),
        ('a', '0.5', 'a positive number'),
        ('a', True, 'a positive number'),
    ):
        with pytest.raises(ValueError, match=why):
            check_negative(text, weight, 'The query')
