"""Ranking items that were never put into one tensor."""

import pytest
import torch

from mmtpr.evaluation.ranking.from_features import rank_queries
from mmtpr.evaluation.similarity import similarity_blocks
from mmtpr.evaluation.stacked_items import StackedItems


def test_scores_and_ranks_are_those_of_the_tensor():
    torch.manual_seed(0)
    query, tokens = torch.randn(70, 8), torch.randn(300, 5, 8)
    ids = torch.arange(300) % 70
    items = StackedItems(tokens.unbind())
    for size in (None, 32):
        for (_, a), (_, b) in zip(
            similarity_blocks(query, tokens, 3, size),
            similarity_blocks(query, items, 3, size),
            strict=True,
        ):
            assert torch.equal(a, b)
    wanted, _ = rank_queries(query, ids[:70], tokens, ids, topk_tokens=3)
    got, _ = rank_queries(query, ids[:70], items, ids, topk_tokens=3)
    assert torch.equal(got.ranks, wanted.ranks)


def test_it_is_checked_as_the_tensor_is():
    items = StackedItems(torch.randn(4, 5, 8).unbind())
    assert (len(items), items.dim(), tuple(items.shape)) == (4, 3, (4, 5, 8))
    with pytest.raises(ValueError, match=r'topk_tokens is 6.*has 5'):
        next(similarity_blocks(torch.randn(2, 8), items, 6))
    with pytest.raises(ValueError, match=r'got \(2, 7\) and \(4, 5, 8\)'):
        next(similarity_blocks(torch.randn(2, 7), items))
