"""A small CLIP to adapt."""

import copy

import open_clip
import pytest
import torch


@pytest.fixture(scope='module')
def pristine():
    torch.manual_seed(0)
    return open_clip.CLIP(
        embed_dim=16,
        vision_cfg=dict(
            image_size=16, layers=2, width=32, patch_size=8, head_width=16
        ),
        text_cfg=dict(
            context_length=8, vocab_size=50, width=32, heads=2, layers=2
        ),
    )


@pytest.fixture
def clip(pristine):
    return copy.deepcopy(pristine)


@pytest.fixture(scope='module')
def batch():
    torch.manual_seed(1)
    return torch.randn(3, 3, 16, 16), torch.randint(1, 50, (3, 8))
