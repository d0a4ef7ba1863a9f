"""Small image towers from scratch: how they are drawn, where they are."""

import pytest
import torch

from mmtpr.models.encoders.swin_bert.build import build_swin, run_swin

pytest.importorskip(
    'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
)

SMALL = dict(
    arch=dict(embed_dims=16, depths=[1, 1], num_heads=[2, 4]),
    patch_size=8,
    window_size=4,
)


def tower(**kwargs):
    torch.manual_seed(0)
    vision = build_swin(SMALL | kwargs, (64, 32))[0]
    vision.eval()  # mmpretrain's returns nothing
    return vision


@pytest.mark.parametrize(
    ('given', 'std'), [({}, 0.02), ({'init_std': 0.1}, 0.1)]
)
def test_linear_layers_are_drawn_as_wide_as_asked(given, std):
    weights = [
        module.weight.detach().flatten()
        for module in tower(**given).modules()
        if isinstance(module, torch.nn.Linear)
    ]
    found = torch.cat(weights).std()
    assert float(found) == pytest.approx(std, rel=0.05)


def tokens_of(vision, images):
    with torch.no_grad():
        return run_swin(vision, images, lambda f, *args: f(*args))


def test_absolute_positions_tell_top_from_bottom():
    plain = torch.ones(1, 3, 64, 32)
    for kwargs, differ in (
        ({}, False),
        (dict(use_abs_pos_embed=True, position_std=1.0), True),
    ):
        vision = tower(init_std=0.1, **kwargs)
        tokens = tokens_of(vision, plain)[0]
        assert tokens.shape == (8, 32)
        upper, lower = tokens[0], tokens[-2]
        assert torch.allclose(upper, lower, atol=1e-4) is not differ
    assert float(vision.absolute_pos_embed.detach().std()) == pytest.approx(
        1.0, rel=0.1
    )


def test_positions_are_added_before_the_first_stage():
    vision = tower(use_abs_pos_embed=True, position_std=1.0)
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        expected = vision(images)[0].flatten(2).transpose(1, 2)
    assert torch.allclose(tokens_of(vision, images), expected, atol=1e-6)
