"""Swin and BERT against the references, and how they train."""

import pytest
import torch
from fused_calls import fused_calls
from torch import nn
from torch.nn import functional as F

from mmtpr.converters.keys.aptm import aptm_map
from mmtpr.models.adapters import inject_adapters
from mmtpr.models.encoders.swin_bert.build import window_sizes
from mmtpr.models.losses import itc_loss
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_swin_bert_cfg

pytest.importorskip(
    'transformers', reason='BERT needs the extra [blip2] (transformers)'
)
pytest.importorskip(
    'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
)

CASES = ('aptm_mini.pt', 'filtering_wora_mini.pt')
FIELDS = (
    *('image_embeds', 'text_embeds', 'image_feat', 'text_feat', 'itc'),
    *('cross_cls', 'itm_logits', 'mlm'),
)


def encoder_cfg(config: dict, **kwargs) -> dict:
    """The reference's config in our words."""
    vision, text = config['vision'], dict(config['text'])
    return dict(
        type='mmtpr.SwinBertEncoder',
        image=dict(
            arch=dict(
                embed_dims=vision['embed_dim'],
                depths=vision['depths'],
                num_heads=vision['num_heads'],
            ),
            window_size=vision['window_size'],
        ),
        image_size=(vision['h'], vision['w']),
        fusion_layer=text.pop('fusion_layer'),
        text=text,
        embed_dim=config['embed_dim'],
        temperature=0.5,
        **kwargs,
    )


def build_case(case: dict, path: str) -> torch.nn.Module:
    if 'wora' not in path:
        return MODELS.build(encoder_cfg(case['config'], pretrained=path))
    model = MODELS.build(
        dict(
            type='mmtpr.WoRAModel',
            module=encoder_cfg(case['config']),
            targets=[dict(type=r'vision\..*')],
        )
    )
    model.module.load_state_dict(aptm_map(case['model'])(case['model']).state)
    return model


@pytest.fixture(scope='module', params=CASES)
def case(request, private_parity):
    path = private_parity(request.param)
    return dict(torch.load(path, weights_only=True), path=str(path))


@pytest.fixture(scope='module')
def encoder(case):
    return build_case(case, case['path']).eval()


@pytest.fixture(scope='module')
def outputs(case, encoder):
    mask = case['text_atts']
    with torch.inference_mode():
        image, image_embeds = encoder.encode_image(case['image'], True)
        text, text_embeds = encoder.encode_text(case['text_ids'], mask, True)
        image_kv = encoder.image_keys_values(image_embeds)
        fused = encoder.fuse(text_embeds, mask, image_kv)
        _, masked = encoder.encode_text(case['masked_ids_in'], mask, True)
        masked = encoder.fuse(masked, mask, image_kv)
        places = case['masked_pos'][..., None].expand(-1, -1, masked.shape[2])
        logits = encoder.predict_words(masked.gather(1, places))
        scale = 1 / encoder.temperature
        return dict(
            image_embeds=image_embeds,
            text_embeds=text_embeds,
            image_feat=image,
            text_feat=text,
            itc=itc_loss(image, text, scale, case['idx']),
            cross_cls=fused[:, 0],
            itm_logits=encoder.match(fused),
            mlm=F.cross_entropy(
                logits.flatten(0, 1), case['masked_ids'].flatten()
            ),
        )


@pytest.mark.parametrize('field', FIELDS)
def test_parity(case, outputs, field):
    torch.testing.assert_close(
        outputs[field], case[field], atol=1e-5, rtol=1e-5
    )


def test_names_go_both_ways_and_none_is_lost(case, encoder):
    model = case['model']
    found = aptm_map(model)(model)
    rest = set(found.ignored)
    assert rest == {
        key
        for key in model
        if key.endswith(('attn_mask', 'embeddings.position_ids'))
    }
    own = getattr(encoder, 'module', encoder).state_dict()
    back = aptm_map(model).inverse()(own).state
    assert set(back) == set(model) - rest
    assert all(torch.equal(back[key], model[key]) for key in back)


def test_windows_shrink_to_the_map():
    assert window_sizes((384, 128), 8) == [8, 8, 8, 4]
    assert window_sizes((192, 64), 4) == [4, 4, 4, 2]
    assert window_sizes((224, 224), 7) == [7, 7, 7, 7]
    with pytest.raises(ValueError, match=r'384x128.*windows of 7'):
        window_sizes((384, 128), 7)
    with pytest.raises(ValueError, match='stage 4'):
        window_sizes((80, 48), 1)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    tokens = torch.randint(5, 60, (4, 9))
    tokens[1, 6:] = 0
    return torch.randn(4, 3, 64, 32), tokens


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(tiny_swin_bert_cfg(**kwargs))


def some_loss(encoder, batch):
    """A number in which every part of the encoder has a say."""
    images, tokens = batch
    image, image_embeds = encoder.encode_image(images, True)
    text, text_embeds = encoder.encode_text(tokens, return_tokens=True)
    fused = encoder.fuse(
        text_embeds,
        encoder.text_mask(tokens),
        encoder.image_keys_values(image_embeds),
    )
    return (
        itc_loss(image, text, 1 / encoder.temperature)
        + encoder.match(fused).square().mean()
        + encoder.predict_words(fused).square().mean()
    )


def test_every_parameter_gets_a_gradient(batch):
    encoder = build().train()
    some_loss(encoder, batch).backward()
    lonely = [n for n, p in encoder.named_parameters() if p.grad is None]
    assert not lonely


def test_grad_checkpointing_gives_the_same_gradient(batch):
    quiet = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    cfg = tiny_swin_bert_cfg()
    grads = []
    for checkpointing in (False, True):
        encoder = build(
            image=dict(cfg['image'], drop_path_rate=0.0),
            text=dict(cfg['text'], **quiet),
            grad_checkpointing=checkpointing,
        ).train()
        some_loss(encoder, batch).backward()
        assert encoder.grad_checkpointing == checkpointing
        grads.append({n: p.grad for n, p in encoder.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, atol=1e-6, rtol=1e-4)


def test_images_take_the_way_of_mmpretrain(batch):
    encoder = build().eval()
    with torch.inference_mode():
        _, tokens = encoder.encode_image(batch[0], True)
        (theirs,) = encoder.vision(batch[0])
    theirs = theirs.flatten(2).transpose(1, 2)
    assert torch.equal(tokens[:, 1:], theirs)
    torch.testing.assert_close(tokens[:, 0], theirs.mean(1))


def test_padding_neither_reads_nor_is_read(batch):
    encoder = build().eval()
    images, tokens = batch
    longer = torch.cat([tokens, torch.zeros(4, 3, dtype=torch.long)], dim=1)
    with torch.inference_mode():
        _, image_embeds = encoder.encode_image(images, True)
        image_kv = encoder.image_keys_values(image_embeds)
        found = []
        for ids in (tokens, longer):
            text, states = encoder.encode_text(ids, return_tokens=True)
            fused = encoder.fuse(states, encoder.text_mask(ids), image_kv)
            found.append((text, encoder.match(fused)))
    for short, padded in zip(*found, strict=True):
        torch.testing.assert_close(short, padded, atol=1e-6, rtol=1e-5)


def test_keys_and_values_are_of_single_images(batch):
    """Those of a block are those of its images, row by row."""
    encoder = build().eval()
    images, tokens = batch
    pick = torch.tensor([2, 0, 0, 3])
    with torch.inference_mode():
        _, embeds = encoder.encode_image(images, True)
        _, states = encoder.encode_text(tokens, return_tokens=True)
        mask = encoder.text_mask(tokens)
        block = encoder.image_keys_values(embeds)
        assert len(block) == 2
        assert block[0][0].shape == (4, 4, embeds.shape[1], 8)
        picked = [(k[pick], v[pick]) for k, v in block]
        found = encoder.fuse(states, mask, picked)
        alone = encoder.fuse(
            states, mask, encoder.image_keys_values(embeds[pick])
        )
    torch.testing.assert_close(found, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    'text', [dict(), dict(position_embedding_type='relative_key')]
)
def test_the_last_layer_for_the_first_token_alone(batch, text):
    encoder = build(text=dict(tiny_swin_bert_cfg()['text'], **text)).eval()
    names = inject_adapters(
        encoder, dict(type='WoRA', rank=2), [dict(type=r'bert\..*\.query')]
    )
    for name in names:
        nn.init.normal_(encoder.get_submodule(name).lora_B)
    images, tokens = batch
    mask = encoder.text_mask(tokens)
    assert not mask.all()
    _, embeds = encoder.encode_image(images, True)
    _, states = encoder.encode_text(tokens, return_tokens=True)
    image_kv = encoder.image_keys_values(embeds)
    whole = encoder.fuse(states, mask, image_kv)
    first = encoder.fuse(states, mask, image_kv, only_first=True)
    assert first.shape == (4, 1, whole.shape[2])
    torch.testing.assert_close(first, whole[:, :1], atol=1e-5, rtol=1e-5)
    prepared = encoder.prepare_text(states, mask)
    for only_first, expected in ((True, first), (False, whole)):
        found = encoder.fuse(prepared, mask, image_kv, only_first, True)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weight = encoder.cross_layers[-1].attention.self.query.lora_B
    expected, found = (
        torch.autograd.grad(encoder.match(x).sum(), weight, retain_graph=True)
        for x in (whole, first)
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_all_linears_of_the_image_tower_can_be_adapted(batch):
    encoder = build().eval()
    with torch.inference_mode():
        before = encoder(*batch)
    names = inject_adapters(
        encoder, dict(type='WoRA', rank=2), [dict(type=r'vision\..*')]
    )
    # Four in each of 7 blocks and three patch mergings; 99 in a Swin-B.
    assert len(names) == 4 * 7 + 3
    with torch.inference_mode():
        after = encoder(*batch)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(fusion_layer=4), '1 to 3 with 4 layers'),
        (dict(temperature=0.0), 'temperature must be > 0'),
        (dict(image=dict(stage_cfgs=[])), 'takes no stage_cfgs'),
        (dict(pretrained='a', image_pretrained='b'), 'leave image_pretrained'),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        build(**change)


def test_wrong_inputs(batch):
    encoder = build()
    with pytest.raises(ValueError, match=r'64x32 \(height x width\), got 32x'):
        encoder.encode_image(batch[0].transpose(2, 3))
    with pytest.raises(ValueError, match='at most 64 text tokens, got 72'):
        encoder.encode_text(batch[1].repeat(1, 8))


@pytest.mark.parametrize('training', [True, False])
def test_bert_goes_through_the_fused_kernel(batch, training):
    text = dict(tiny_swin_bert_cfg()['text'], attention_probs_dropout_prob=0.3)
    encoder = build(text=text).train(training)
    images, tokens = batch
    dropout = 0.3 if training else 0.0
    _, embeds = encoder.encode_image(images, True)
    with fused_calls() as calls:
        _, states = encoder.encode_text(tokens, return_tokens=True)
    assert calls == [((4, 4, 9, 8), dropout)] * 2
    image_kv = encoder.image_keys_values(embeds)
    with fused_calls() as calls:
        encoder.fuse(states, encoder.text_mask(tokens), image_kv)
    # Two layers, each of which reads its text and the image.
    assert calls == [((4, 4, 9, 8), dropout)] * 4
    with fused_calls() as calls:
        encoder.fuse(states, encoder.text_mask(tokens), image_kv, True)
    assert calls[2:] == [((4, 4, 1, 8), dropout)] * 2
