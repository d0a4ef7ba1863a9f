"""Encoders of several families on small models."""

import json

import pytest
import torch
from torch import nn

from mmtpr.models.encoders import OpenCLIPEncoder
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_clip_cfg, tiny_encoder_cfg

TEXT = dict(context_length=16, vocab_size=100, width=32, heads=2, layers=1)
VIT = dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16)


def _timm(name, **kwargs):
    return dict(timm_model_name=name, image_size=224, **kwargs)


FAMILIES = {
    'clip': dict(vision_cfg=VIT, text_cfg=TEXT),
    'custom_text': dict(vision_cfg=VIT, text_cfg=TEXT, custom_text=True),
    'resnet': dict(
        vision_cfg=dict(image_size=64, layers=[1, 1, 1, 1], width=8),
        text_cfg=TEXT,
    ),
    'timm_vit': dict(
        vision_cfg=_timm('test_vit', timm_pool='token'), text_cfg=TEXT
    ),
    'timm_convnet': dict(
        vision_cfg=_timm('test_resnet', timm_proj='mlp'), text_cfg=TEXT
    ),
    'pooler': dict(
        vision_cfg=dict(
            VIT,
            attentional_pool=True,
            attn_pooler_heads=2,
            attn_pooler_queries=4,
        ),
        text_cfg=TEXT,
    ),
    'coca': dict(
        custom_text=True,
        vision_cfg=dict(
            VIT,
            attentional_pool=True,
            attn_pooler_heads=2,
            attn_pooler_queries=4,
            output_tokens=True,
        ),
        text_cfg=dict(TEXT, embed_cls=True, output_tokens=True),
        multimodal_cfg=dict(
            vocab_size=100, width=32, heads=2, layers=1, attn_pooler_heads=2
        ),
    ),
    'siglip': dict(
        custom_text=True,
        init_logit_bias=-10,
        vision_cfg=_timm('test_vit', timm_pool='avg', timm_proj='linear'),
        text_cfg=dict(
            TEXT, no_causal_mask=True, proj_bias=True, pool_type='last'
        ),
    ),
}
#: Tokens of an image of 128 x 64.
TOKENS = {
    'clip': 33,
    'custom_text': 33,
    'resnet': 8,
    'timm_vit': 33,
    'timm_convnet': 8,
    'pooler': 3,
    'coca': 3,
    'siglip': 33,
}


def _encoder(family='clip', **kwargs):
    torch.manual_seed(0)
    return OpenCLIPEncoder(dict(FAMILIES[family], embed_dim=32), **kwargs)


def _inputs(encoder, number=2):
    images = torch.randn(number, 3, *encoder.image_size)
    return images, torch.randint(1, 99, (number, encoder.context_length))


@pytest.mark.parametrize('family', FAMILIES)
def test_every_family_at_a_person_shape(family):
    encoder = _encoder(family, image_size=(128, 64)).eval()
    assert encoder.image_size == (128, 64)
    images, tokens = _inputs(encoder)
    with torch.no_grad():
        feats, patches = encoder.encode_image(images, return_tokens=True)
        texts, words = encoder.encode_text(tokens, return_tokens=True)
        torch.testing.assert_close(encoder.encode_image(images), feats)
        torch.testing.assert_close(encoder.encode_text(tokens), texts)
    assert feats.shape == texts.shape == (2, encoder.embed_dim)
    assert words.shape == (2, 16, encoder.text_token_width)
    assert patches.shape[0] == 2
    assert patches.shape[2] == encoder.image_token_width
    if family not in ('pooler', 'coca'):
        assert patches.shape[1] == TOKENS[family]


def test_parity_with_the_stage_one_model(private_parity, tmp_path):
    case = torch.load(private_parity('word4per_mini.pt'), weights_only=True)
    cfg = case['config']
    torch.save(case['clip'], tmp_path / 'clip.pt')
    encoder = OpenCLIPEncoder(
        dict(
            embed_dim=cfg['embed_dim'],
            vision_cfg=dict(cfg['vision'], image_size=cfg['image_size']),
            text_cfg=cfg['text'],
        ),
        pretrained=tmp_path / 'clip.pt',
        quick_gelu=True,
    ).eval()
    with torch.no_grad():
        image, tokens = encoder.encode_image(case['image'], True)
        text = encoder.encode_text(case['caption_ids'])
    for got, wanted in (
        (image, 'image_feat'),
        (tokens, 'image_tokens'),
        (text, 'text_feat'),
    ):
        torch.testing.assert_close(got, case[wanted], atol=1e-5, rtol=1e-4)


def test_tokens_contain_the_features():
    encoder = _encoder().eval()
    images, tokens = _inputs(encoder)
    with torch.no_grad():
        feats, patches = encoder.encode_image(images, return_tokens=True)
        texts, words = encoder.encode_text(tokens, return_tokens=True)
    torch.testing.assert_close(patches[:, 0], feats)
    end = tokens.argmax(1)
    torch.testing.assert_close(words[torch.arange(2), end], texts)


def test_tokens_keep_the_towers_width_on_demand():
    config = tiny_clip_cfg(width=48, embed_dim=32, vocab_size=100)
    encoder = OpenCLIPEncoder(config, token_projection=False)
    assert (encoder.vision_width, encoder.text_width) == (48, 48)
    images, tokens = _inputs(encoder)
    assert encoder.encode_image(images, True)[1].shape == (2, 9, 48)
    assert encoder.encode_text(tokens, True)[1].shape == (2, 32, 48)


def test_a_real_model_by_name_at_person_size():
    encoder = OpenCLIPEncoder('ViT-B-16', image_size=(384, 128)).eval()
    assert encoder.clip.visual.positional_embedding.shape == (193, 768)
    assert (encoder.vision_width, encoder.text_width) == (768, 512)
    with torch.no_grad():
        feats = encoder.encode_image(torch.zeros(1, 3, 384, 128))
    assert feats.shape == (1, 512)
    assert torch.isfinite(feats).all()


def test_a_json_file_names_a_model(tmp_path):
    path = tmp_path / 'mine.json'
    config = tiny_clip_cfg(vocab_size=100)
    path.write_text(json.dumps({'model_cfg': config}))
    assert OpenCLIPEncoder(path).embed_dim == 32
    assert OpenCLIPEncoder(str(path)).image_size == (64, 32)
    path.write_text('{"embed_dim": ')
    with pytest.raises(ValueError, match='not valid json'):
        OpenCLIPEncoder(path)


def test_the_config_of_the_caller_is_not_changed():
    config = tiny_clip_cfg(vocab_size=100)
    before = json.dumps(config)
    OpenCLIPEncoder(config, image_size=(96, 32), quick_gelu=True)
    assert json.dumps(config) == before


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('ViT-B-61', 'Close names: ViT-B-16'),
        (dict(embed_dim=3), 'lacks vision_cfg, text_cfg'),
    ],
)
def test_an_unknown_model_is_explained(model, message):
    with pytest.raises(ValueError, match=message):
        OpenCLIPEncoder(model)


def test_a_hub_tower_without_transformers_names_the_extra(monkeypatch):
    import builtins
    import sys

    real = builtins.__import__

    def no_transformers(name, *args, **kwargs):
        if name.split('.')[0] == 'transformers':
            raise ImportError('not here')
        return real(name, *args, **kwargs)

    monkeypatch.setitem(sys.modules, 'transformers', None)
    monkeypatch.setattr(builtins, '__import__', no_transformers)
    config = dict(
        embed_dim=32, vision_cfg=VIT, text_cfg=dict(hf_model_name='bert')
    )
    with pytest.raises(ImportError, match=r'mmtpr\[blip2\]'):
        OpenCLIPEncoder(config)


def test_wrong_inputs_are_named():
    encoder = _encoder(image_size=(64, 32))
    with pytest.raises(ValueError, match=r'scale=\(32, 64\)'):
        encoder.encode_image(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match='context_length=16'):
        encoder.encode_text(torch.zeros(1, 77, dtype=torch.long))
    with pytest.raises(ValueError, match='no multiple of the patch size 16'):
        _encoder(image_size=(60, 32))
    with pytest.raises(ValueError, match='frozen takes'):
        _encoder(frozen=('image',))


def test_frozen_parts_do_not_train():
    encoder = _encoder('resnet', frozen=('visual',))
    names = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert names
    assert not any('visual' in name for name in names)
    encoder.train()
    assert not encoder.clip.visual.bn1.training
    assert encoder.clip.transformer.training
    texts = _encoder(frozen='text')
    trained = {n for n, p in texts.named_parameters() if p.requires_grad}
    outside = {n for n in trained if not n.startswith('clip.visual.')}
    assert outside == {'clip.logit_scale'}


def test_checkpointing_gives_the_same_gradient():
    grads = []
    for enable in (False, True):
        encoder = _encoder(grad_checkpointing=enable)
        torch.manual_seed(1)
        images, tokens = _inputs(encoder)
        feats, patches = encoder.encode_image(images, return_tokens=True)
        loss = feats.sum() + patches.square().sum()
        (loss + encoder.encode_text(tokens).sum()).backward()
        grads.append(encoder.clip.visual.conv1.weight.grad)
        grads.append(encoder.clip.token_embedding.weight.grad)
    assert encoder.clip.transformer.grad_checkpointing
    torch.testing.assert_close(grads[0], grads[2])
    torch.testing.assert_close(grads[1], grads[3])
    encoder.set_grad_checkpointing(False)
    assert not encoder.clip.transformer.grad_checkpointing


class _Wrapped(nn.Module):
    """What an adapter looks like from outside."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    @property
    def weight(self):
        return self.module.weight

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


def test_it_works_with_replaced_linears_and_attentions():
    encoder = _encoder().eval()
    images, tokens = _inputs(encoder)
    with torch.no_grad():
        before = encoder.encode_image(images, return_tokens=True)
        before += encoder.encode_text(tokens, return_tokens=True)
        for tower in (encoder.clip.visual, encoder.clip):
            for block in tower.transformer.resblocks:
                block.mlp.c_fc = _Wrapped(block.mlp.c_fc)
                block.attn = _Wrapped(block.attn)
        after = encoder.encode_image(images, return_tokens=True)
        after += encoder.encode_text(tokens, return_tokens=True)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)


def test_autocast_gives_the_same_features_roughly():
    encoder = _encoder().eval()
    images, tokens = _inputs(encoder)
    with torch.no_grad():
        full = torch.cat(encoder(images, tokens))
        with torch.autocast('cpu', torch.bfloat16):
            half = torch.cat(encoder(images, tokens))
            _, words = encoder.encode_text(tokens, return_tokens=True)
    assert half.dtype == words.dtype == torch.bfloat16
    assert torch.cosine_similarity(full, half.float()).min() > 0.99


def test_it_is_built_by_name_from_any_scope():
    encoder = MODELS.build(tiny_encoder_cfg(vocab_size=100))
    assert isinstance(encoder, OpenCLIPEncoder)
    assert encoder(None, None) == (None, None)


@pytest.mark.parametrize('pooler', ['mean_pooler', 'cls_pooler'])
def test_a_tower_of_hugging_face(pooler, tmp_path):
    transformers = pytest.importorskip('transformers')
    transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=100,
        max_position_embeddings=40,
    ).save_pretrained(tmp_path)
    config = dict(
        embed_dim=16,
        vision_cfg=VIT,
        text_cfg=dict(
            hf_model_name=str(tmp_path),
            hf_proj_type='linear',
            hf_pooler_type=pooler,
        ),
    )
    encoder = OpenCLIPEncoder(config).eval()
    assert (encoder.text_width, encoder.context_length) == (32, 40)
    tokens = torch.randint(1, 99, (2, 12))
    with torch.no_grad():
        texts, words = encoder.encode_text(tokens, return_tokens=True)
        torch.testing.assert_close(encoder.encode_text(tokens), texts)
    assert words.shape == (2, 12, 16)
    with pytest.raises(ValueError, match='40 text tokens, got 50'):
        encoder.encode_text(torch.ones(1, 50).long())
    config['text_cfg']['hf_model_name'] = str(tmp_path / 'none')
    with pytest.raises(ValueError, match='hf_model_name to a local folder'):
        OpenCLIPEncoder(config)
