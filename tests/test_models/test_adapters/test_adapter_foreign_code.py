"""Adapted layers inside code that takes short cuts past a layer's call."""

import pytest
import torch
from torch import nn

from mmtpr.models.adapters import (
    inject_adapters,
    merge_adapters,
    named_adapters,
    remove_adapters,
)
from mmtpr.models.encoders import OpenCLIPEncoder

TEXT = dict(context_length=8, vocab_size=50, width=32, heads=2, layers=1)
VIT = dict(image_size=32, layers=1, width=32, patch_size=16, head_width=16)


def stir(model):
    for _, adapter in named_adapters(model):
        nn.init.normal_(adapter.lora_B, std=0.1)


class TestTransformerEncoder:
    @pytest.fixture
    def encoder(self):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 2).eval()
        encoder.requires_grad_(False)
        return encoder

    @pytest.fixture
    def batch(self):
        padding = torch.zeros(3, 5, dtype=torch.bool)
        padding[0, 3:] = padding[2, 1:] = True
        return torch.randn(3, 5, 16), padding

    @pytest.mark.parametrize(
        'target',
        [
            r'layers\.\d\.self_attn\.q',
            r'layers\.1\.self_attn\.v',
            r'.*linear1',
        ],
    )
    def test_padding_in_evaluation(self, encoder, batch, target):
        x, padding = batch
        before = encoder.use_nested_tensor
        inject_adapters(encoder, dict(type='WoRA', rank=2), [{'type': target}])
        stir(encoder)
        kept = ~padding
        with torch.no_grad():
            plain = [
                encoder(x[i : i + 1, row])[0] for i, row in enumerate(kept)
            ]
            found = encoder(x, src_key_padding_mask=padding)
            with torch.enable_grad():
                graded = encoder(x, src_key_padding_mask=padding)
        torch.testing.assert_close(found[kept], torch.cat(plain))
        torch.testing.assert_close(graded[kept], torch.cat(plain))
        merged = merge_adapters(encoder, remove=True)
        assert merged.use_nested_tensor == before
        with torch.no_grad():
            found = merged(x, src_key_padding_mask=padding)
        torch.testing.assert_close(found[kept], torch.cat(plain))

    def test_without_adapters_all_is_as_before(self, encoder, batch):
        x, padding = batch
        with torch.no_grad():
            wanted = encoder(x, src_key_padding_mask=padding)
            inject_adapters(encoder, dict(type='LoRA'), [dict(type='.*q')])
            plain = remove_adapters(encoder)
            found = plain(x, src_key_padding_mask=padding)
        torch.testing.assert_close(found, wanted)
        assert not vars(plain).keys() & {'_use_nested_tensor_without_adapters'}


@pytest.mark.parametrize('kind', ['WoRA', 'DoRA', 'LoRA'])
def test_a_linear_projection_of_the_text_tower(kind):
    """open_clip multiplies by a projection that is no nn.Linear by hand."""
    torch.manual_seed(0)
    config = dict(
        embed_dim=16,
        custom_text=True,
        vision_cfg=VIT,
        text_cfg=dict(TEXT, proj_bias=True, no_causal_mask=True),
    )
    encoder = OpenCLIPEncoder(config).eval()
    tokens = torch.randint(1, 50, (3, 8))
    names = inject_adapters(
        encoder, dict(type=kind, rank=2), [dict(type=r'clip\.text\..*')]
    )
    assert 'clip.text.text_projection' in names
    stir(encoder)
    found = encoder.encode_text(tokens)
    plain = merge_adapters(encoder, remove=True)
    assert type(plain.clip.text.text_projection) is nn.Linear
    torch.testing.assert_close(found, plain.encode_text(tokens))
