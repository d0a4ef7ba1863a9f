"""The attention of the last block, without a second run of anything."""

import copy
import pickle

import pytest
import torch
from fused_calls import fused_calls
from torch.nn import functional as F

from mmtpr.models.adapters import inject_adapters, merge_adapters
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg

LAYERS = 3
TARGETS = [dict(type=r'clip\..*\.attn\.(q|k|v|out_proj)')]


def build(**kwargs):
    torch.manual_seed(0)
    cfg = tiny_encoder_cfg(vocab_size=100, context_length=9, layers=LAYERS)
    encoder = MODELS.build(cfg | kwargs)
    encoder.offer_attention()
    return encoder


def adapted(kind='WoRA', **kwargs):
    encoder = build(**kwargs)
    inject_adapters(encoder, dict(type=kind, rank=2), TARGETS)
    with torch.no_grad():
        for name, value in encoder.named_parameters():
            if '.lora_' in name:
                value.normal_(std=0.1)
    return encoder


def inputs(number=4):
    torch.manual_seed(1)
    tokens = torch.randint(1, 98, (number, 9))
    for row in range(number):
        tokens[row, 3 + row] = 99
        tokens[row, 4 + row :] = 0
    return torch.randn(number, 3, 64, 32), tokens


def both(encoder):
    images, tokens = inputs()
    return encoder.attend_image(images), encoder.attend_text(tokens)


def last_blocks(encoder):
    clip = encoder.clip
    return [
        tower.resblocks[-1]
        for tower in (clip.visual.transformer, clip.transformer)
    ]


@pytest.mark.parametrize('make', [build, adapted])
@pytest.mark.parametrize('mode', [True, False])
def test_features_and_tokens_are_those_of_the_ordinary_run(make, mode):
    encoder = make().train(mode)
    images, tokens = inputs()
    image, text = both(encoder)
    ordinary = (
        encoder.encode_image(images, return_tokens=True),
        encoder.encode_text(tokens, return_tokens=True),
    )
    for got, (features, all_tokens) in zip(
        (image, text), ordinary, strict=True
    ):
        torch.testing.assert_close(
            got.features, features, atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(
            got.tokens, all_tokens, atol=1e-5, rtol=1e-4
        )
    assert image.positions.tolist() == [0] * 4
    assert text.positions.tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize('make', [build, adapted])
def test_the_attention_is_that_of_the_last_block(make):
    """Computed anew from what goes into the block."""
    encoder = make().eval()
    seen = []
    handles = [
        block.ln_1.register_forward_hook(lambda m, i, out: seen.append(out))
        for block in last_blocks(encoder)
    ]
    with torch.no_grad():
        image, text = both(encoder)
    for handle in handles:
        handle.remove()
    clip = encoder.clip
    masks = (None, clip.attn_mask)
    blocks = last_blocks(encoder)
    for got, x, block, mask in zip(
        (image, text), seen, blocks, masks, strict=True
    ):
        attn = block.attn
        parts = F.linear(x, attn.in_proj_weight, attn.in_proj_bias).chunk(
            3, -1
        )
        q, k, _ = (t.unflatten(-1, (2, 16)).transpose(1, 2) for t in parts)
        scores = q @ k.transpose(-2, -1) / 4
        scores = scores if mask is None else scores + mask
        weights = scores.softmax(-1).mean(1)  # (B, N, N)
        rows = torch.arange(4)
        torch.testing.assert_close(
            got.attention, weights[rows, got.positions], atol=1e-5, rtol=1e-4
        )
        assert not got.attention.requires_grad
        torch.testing.assert_close(got.attention.sum(1), torch.ones(4))
    # Nothing behind the end is attended to.
    assert text.attention[0, 4:].abs().max() == 0


@pytest.mark.parametrize('make', [build, adapted])
def test_other_blocks_keep_the_fused_kernel_and_each_runs_once(make):
    encoder = make().train()
    runs = {}

    def count(name):
        def hook(*_):
            runs[name] = runs.get(name, 0) + 1

        return hook

    for name, module in encoder.named_modules():
        if name.endswith(('.attn', '.mlp')) or '.resblocks.' in name:
            module.register_forward_hook(count(name))
    images, tokens = inputs()
    with fused_calls() as calls:
        encoder.attend_image(images)
    assert len(calls) == LAYERS - 1
    with fused_calls() as calls:
        encoder.attend_text(tokens)
    assert len(calls) == LAYERS - 1
    assert len(runs) >= 2 * LAYERS * 3
    assert set(runs.values()) == {1}
    # An ordinary run is what it was.
    with fused_calls() as calls:
        encoder.encode_image(images)
        encoder.encode_text(tokens)
    assert len(calls) == 2 * LAYERS


@pytest.mark.parametrize('make', [build, adapted])
def test_recomputed_blocks_have_the_same_gradients(make):
    grads = []
    for recompute in (False, True):
        encoder = make(grad_checkpointing=recompute).train()
        image, text = both(encoder)
        total = sum(
            x.features.square().sum() + x.tokens.square().mean()
            for x in (image, text)
        )
        total.backward()
        grads.append(
            {
                n: p.grad
                for n, p in encoder.named_parameters()
                if p.grad is not None
            }
        )
    one, other = grads
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value)


def test_keys_and_copies_stay(tmp_path):
    plain = MODELS.build(tiny_encoder_cfg(vocab_size=100, context_length=9))
    keys = list(plain.state_dict())
    plain.offer_attention()
    plain.offer_attention()
    assert list(plain.state_dict()) == keys
    encoder = build().eval()
    again = pickle.loads(pickle.dumps(copy.deepcopy(encoder)))
    for got, wanted in zip(both(again), both(encoder), strict=True):
        for one, other in zip(got, wanted, strict=True):
            assert torch.equal(one, other)


def test_adapters_may_come_after_and_go(monkeypatch):
    encoder = adapted('LoRA').eval()
    with torch.no_grad():
        wanted = both(encoder)
        merge_adapters(encoder, remove=True)
        got = both(encoder)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(
            one.attention, other.attention, atol=1e-5, rtol=1e-4
        )


def test_mixed_precision_selects_alike():
    encoder = build().eval()
    with torch.no_grad():
        wanted, _ = both(encoder)
        with torch.autocast('cpu', torch.bfloat16):
            got, _ = both(encoder)
    torch.testing.assert_close(
        got.attention.float(), wanted.attention, atol=2e-2, rtol=2e-2
    )


def test_a_compiler_sees_one_graph():
    encoder = build().train()
    images, tokens = inputs()

    def both_sides(images, tokens):
        image, text = encoder.attend_image(images), encoder.attend_text(tokens)
        return image.attention, text.attention, image.features, text.tokens

    compiled = torch.compile(both_sides, backend='eager', fullgraph=True)
    for one, other in zip(
        compiled(images, tokens), both_sides(images, tokens), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_towers_that_pool_otherwise_are_named():
    cfg = tiny_encoder_cfg(vocab_size=100, context_length=9)
    cfg['model']['vision_cfg']['pool_type'] = 'avg'
    with pytest.raises(TypeError, match='image tower VisionTransformer'):
        MODELS.build(cfg).offer_attention()
    cfg = tiny_encoder_cfg(vocab_size=100, context_length=9)
    cfg['model']['text_cfg']['pool_type'] = 'last'
    with pytest.raises(TypeError, match='The text tower'):
        MODELS.build(cfg).offer_attention()
    cfg = tiny_encoder_cfg(vocab_size=100, context_length=9)
    cfg['model']['vision_cfg'].update(layers=[1, 1, 1, 1], head_width=16)
    with pytest.raises(TypeError, match='ModifiedResNet does not make its'):
        MODELS.build(cfg).offer_attention()


def test_images_of_another_size_are_named():
    with pytest.raises(ValueError, match='64'):
        build().attend_image(torch.randn(1, 3, 32, 32))
    with pytest.raises(ValueError, match='takes 9 text tokens, got 7'):
        build().attend_text(torch.ones(1, 7).long())
