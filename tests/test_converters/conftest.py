"""State dicts of given shapes."""

from functools import partial

import pytest
import torch


@pytest.fixture
def meta_state():
    """State dict without data."""

    def make(shapes):
        return {k: torch.empty(s, device='meta') for k, s in shapes.items()}

    return make


@pytest.fixture
def random_state():
    """State dict with random numbers."""

    def make(shapes):
        torch.manual_seed(0)
        return {
            k: torch.arange(s[0] * s[1]).view(s)
            if k.endswith('relative_position_index')
            else torch.randn(s)
            for k, s in shapes.items()
        }

    return make


@pytest.fixture
def on_meta(monkeypatch):
    """Build a model without memory."""

    def build(make):
        # mmpretrain reads its drop rates while it builds a Swin.
        with monkeypatch.context() as patch, torch.device('meta'):
            linspace = partial(torch.linspace, device='cpu')
            patch.setattr(torch, 'linspace', linspace)
            return make()

    return build
