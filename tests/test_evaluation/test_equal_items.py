"""Equal items of a gallery."""

import pytest
import torch

from mmtpr.evaluation.equal_items import equal_items
from mmtpr.evaluation.stacked_items import StackedItems


@pytest.fixture(params=[torch.Tensor, StackedItems])
def form(request):
    """A tensor, and items that are stacked when needed."""
    stacked = request.param is StackedItems
    return (lambda x: StackedItems(list(x))) if stacked else (lambda x: x)


def test_all_differ(form):
    assert equal_items(form(torch.randn(400, 3, 16))) is None
    assert equal_items(form(torch.randn(1, 3, 16))) is None


def test_some_are_equal(form):
    items = torch.randn(400, 3, 16)
    items[[7, 350]] = items[4].clone()
    items[399] = items[20].clone()
    items[100:200, 0] = 0.5  # a common head does not make items equal
    later, first = equal_items(form(items))
    assert later.tolist() == [7, 350, 399]
    assert first.tolist() == [4, 4, 20]


def test_one_number_apart(form):
    items = torch.randn(1, 3, 16).repeat(3, 1, 1)
    items[1, -1, -1] = torch.nextafter(items[1, -1, -1], torch.tensor(9.0))
    later, first = equal_items(form(items))
    assert (later.tolist(), first.tolist()) == ([2], [0])


def test_plus_and_minus_zero_are_equal():
    items = torch.stack([torch.zeros(5), -torch.zeros(5)])
    assert equal_items(items)[0].tolist() == [1]


def test_none_at_all():
    assert equal_items(torch.randn(0, 4)) is None
