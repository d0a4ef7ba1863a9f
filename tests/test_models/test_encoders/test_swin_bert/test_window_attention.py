"""Window attention by the fused kernel against that of mmpretrain."""

import copy

import pytest
import torch
from fused_calls import fused_calls
from torch import nn

from mmtpr.models.encoders.swin_bert.window_attention import (
    FusedWindowAttention,
    fuse_windows,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_swin_bert_cfg

utils = pytest.importorskip(
    'mmpretrain.models.utils', reason='Swin needs the extra [openmmlab]'
)


def attention(**options):
    torch.manual_seed(0)
    layer = utils.WindowMSA(32, (4, 4), 4, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


def mask_of(shift):
    if not shift:
        return None
    return utils.ShiftWindowMSA.get_attn_mask((12, 8), 4, shift)


def run(layer, mask):
    """Output, and gradients of the input and of all parameters."""
    torch.manual_seed(1)
    dtype = layer.proj.weight.dtype
    x = torch.randn(3 * 6, 16, 32, dtype=dtype, requires_grad=True)
    out = layer(x, mask)
    weight = torch.randn(out.shape)
    grads = torch.autograd.grad((out * weight).sum(), [x, *layer.parameters()])
    return [out, *grads]


@pytest.mark.parametrize('shift', [0, 2])
@pytest.mark.parametrize(
    'options', [{}, dict(qkv_bias=False), dict(qk_scale=0.5)]
)
def test_results_and_gradients_are_those_of_mmpretrain(options, shift):
    theirs = attention(**options).train()
    ours = FusedWindowAttention(copy.deepcopy(theirs))
    assert ours.training
    assert list(ours.state_dict()) == list(theirs.state_dict())
    mask = mask_of(shift)
    if shift:
        assert mask.shape == (6, 16, 16)
    torch.testing.assert_close(
        run(ours, mask)[0], run(theirs, mask)[0], atol=1e-5, rtol=1e-5
    )
    # Gradients are sums over all windows: rounding would hide a fault.
    found, expected = run(ours.double(), mask), run(theirs.double(), mask)
    assert len(found) >= 6 - ('qkv_bias' in options)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize('shift', [0, 2])
def test_all_heads_go_through_one_call(shift):
    layer = FusedWindowAttention(attention(attn_drop=0.25)).train()
    with fused_calls() as calls:
        run(layer, mask_of(shift))
        run(layer.eval(), mask_of(shift))
    shape = (3, 6 * 4, 16, 8) if shift else (3 * 6, 4, 16, 8)
    assert calls == [(shape, 0.25), (shape, 0.0)]


def test_the_image_tower_of_the_encoder_uses_it():
    pytest.importorskip('transformers', reason='BERT needs [blip2]')
    encoder = MODELS.build(tiny_swin_bert_cfg())
    with fused_calls() as calls:
        encoder.encode_image(torch.randn(2, 3, 64, 32))
    assert len(calls) == 7  # one a block


def test_the_whole_tower_is_that_of_mmpretrain():
    cfg = dict(tiny_swin_bert_cfg()['image'], img_size=(64, 32))
    swin = MODELS.build(
        dict(
            type='mmpretrain.SwinTransformer',
            **cfg,
            stage_cfgs=[dict(window_size=n) for n in (4, 4, 2, 1)],
        )
    )
    swin.eval()  # gives nothing back
    for module in swin.modules():
        if isinstance(module, utils.WindowMSA):
            nn.init.normal_(module.relative_position_bias_table)
    twin = copy.deepcopy(swin)
    assert fuse_windows(twin) == 7
    assert twin.state_dict().keys() == swin.state_dict().keys()
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        (found,), (expected,) = twin(images), swin(images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_window_attention_of_another_kind_stays():
    block = utils.ShiftWindowMSA(
        32, 4, 4, window_msa=utils.WindowMSAV2, pretrained_window_size=(0, 0)
    )
    assert fuse_windows(block) == 0
    assert type(block.w_msa) is utils.WindowMSAV2
