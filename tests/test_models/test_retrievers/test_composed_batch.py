"""Batches of composed retrieval, and those of several processes."""

import pytest
import torch

from mmtpr.models.necks import QueryFeatures, TargetFeatures
from mmtpr.models.retrievers import composed_batch, gather
from mmtpr.models.retrievers.composed_batch import (
    check_several_ids,
    count_cut,
    gather_triplets,
)
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.composed_rows import rows_of_queries


def triplets(number=3):
    torch.manual_seed(0)
    query = QueryFeatures(torch.randn(number, 4), torch.randn(number, 6))
    target = TargetFeatures(
        torch.randn(number, 5, 4), torch.randn(number, 6), None
    )
    return query, target, torch.arange(number)


def test_one_process_keeps_its_triplets():
    parts = triplets()
    assert all(
        a is b for a, b in zip(gather_triplets(*parts), parts, strict=True)
    )


def test_features_of_all_processes_come_back_in_form(monkeypatch):
    """The other process has the same triplets, negated, and negated ids."""
    for module in (gather, composed_batch):
        monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    monkeypatch.setattr(gather, 'all_gather', lambda rows: [rows, -rows])
    query, target, ids = triplets()
    wide_query, wide_target, wide_ids = gather_triplets(query, target, ids)
    for got, wanted in (
        (wide_query.feats, query.feats),
        (wide_query.raw, query.raw),
        (wide_target.tokens, target.tokens),
        (wide_target.raw, target.raw),
    ):
        torch.testing.assert_close(got, torch.cat([wanted, -wanted]))
    assert wide_ids.tolist() == [0, 1, 2, 0, -1, -2]


def test_equal_ids_have_nothing_to_tell_apart():
    check_several_ids(torch.tensor([4, 4, 5]))
    for same in ([4, 4], [7]):
        with pytest.raises(
            ValueError, match=f'All {len(same)} samples .*Grou'
        ):
            check_several_ids(torch.tensor(same))


def test_cut_captions_are_counted_where_they_are_known():
    flags = (True, False, True)
    known = [
        RetrievalDataSample(metainfo=dict(caption_cut=flag)) for flag in flags
    ]
    assert count_cut(known)['cut_captions'] == 2
    assert count_cut(known, torch.tensor([True] * 3))['cut_captions'] == 3
    assert count_cut([*known, RetrievalDataSample()]) == {}


def test_rows_of_samples_that_have_both():
    inputs = dict(
        image=torch.zeros(3, 1),
        image_index=torch.tensor([0, 2, 3]),
        tokens=torch.zeros(2, 1),
        tokens_index=torch.tensor([1, 3]),
    )
    assert rows_of_queries(inputs) == ([2], [1], [3])
    assert rows_of_queries(inputs, [True, True, True, False]) == ([], [], [])
    aligned = dict(image=torch.zeros(2, 1), tokens=torch.zeros(2, 1))
    assert rows_of_queries(aligned) == ([0, 1], [0, 1], [0, 1])
    assert rows_of_queries(dict(image=torch.zeros(2, 1))) == ([], [], [])
