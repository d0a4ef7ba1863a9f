"""The wrapper that makes products depend on a row's place."""

import torch
from torch import nn

from mmtpr.testing import disturb_kernels, disturb_rows


def test_rows_depend_on_place_and_number():
    equal = torch.ones(2, 5, 8)
    found = disturb_rows(equal)
    coarse = disturb_rows(equal, 0.1)
    assert len(coarse.flatten(0, 1).unique(dim=0)) == 10
    assert not torch.equal(disturb_rows(equal[:1]), found[:1])
    torch.testing.assert_close(found, equal, atol=3e-6, rtol=0)
    assert torch.equal(disturb_rows(equal), found)


def test_numbers_and_vectors_are_left_alone():
    for values in (torch.arange(6).view(2, 3), torch.rand(3)):
        assert disturb_rows(values) is values


def test_layers_of_a_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.rand(3).expand(6, 3)
    before = model(x)
    assert disturb_kernels(model) is model
    after = model(x)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    assert len(after.unique(dim=0)) > 3
