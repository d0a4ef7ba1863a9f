"""BLIP-2 against the reference, and how it trains."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from mmtpr.models.adapters import inject_adapters
from mmtpr.models.losses import (
    fda_loss,
    fda_similarity,
    feature_diversity_loss,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_blip2_cfg

pytest.importorskip(
    'transformers', reason='BLIP-2 needs the extra [blip2] (transformers)'
)


@pytest.fixture(scope='module')
def case(private_parity):
    path = private_parity('fafa_blip2_mini.pt')
    return dict(torch.load(path, weights_only=True), path=str(path))


def model_of(config: dict) -> dict:
    """The reference's config in transformers' words."""
    vit, qformer = dict(config['vit']), dict(config['qformer'])
    return dict(
        vision_config=dict(
            hidden_size=vit['embed_dim'],
            intermediate_size=int(vit['embed_dim'] * vit['mlp_ratio']),
            num_hidden_layers=vit['depth'],
            num_attention_heads=vit['num_heads'],
            image_size=vit['img_size'],
            patch_size=vit['patch_size'],
            layer_norm_eps=vit['norm_eps'],
        ),
        qformer_config=dict(
            hidden_size=qformer['hidden_size'],
            num_hidden_layers=qformer['num_hidden_layers'],
            num_attention_heads=qformer['num_attention_heads'],
            intermediate_size=qformer['intermediate_size'],
            vocab_size=qformer['vocab_size'],
            max_position_embeddings=qformer['max_position_embeddings'],
            cross_attention_frequency=qformer['cross_attention_freq'],
        ),
        num_query_tokens=qformer['num_query_tokens'],
        image_text_hidden_size=config['embed_dim'],
    )


@pytest.fixture(scope='module')
def encoder(case):
    cfg = tiny_blip2_cfg(
        model=model_of(case['config']), pretrained=case['path']
    )
    return MODELS.build(cfg).eval()


@pytest.fixture(scope='module')
def outputs(case, encoder):
    ids, mask = case['text_ids'], case['text_atts']
    with torch.inference_mode():
        vision = encoder.encode_vision(case['reference'])
        tokens = encoder.encode_target(case['target'])
        query = encoder.encode_query(case['reference'], ids, mask)
        text = encoder.encode_text_only(ids, mask)
        similarity = fda_similarity(query, tokens, case['config']['topk'])
        own = encoder.encode_image(case['reference'])
        return dict(
            vit_embeds=vision,
            fusion_hidden=encoder.fuse(vision, ids, mask),
            query_feat=query,
            target_tokens=tokens,
            text_feat=text,
            similarity=similarity,
            fda=fda_loss(similarity, case['qid'], encoder.temperature),
            fd=feature_diversity_loss(tokens, case['config']['margin']),
            relevance=(own @ text.t()).amax(1),
        )


FIELDS = (
    *('vit_embeds', 'fusion_hidden', 'query_feat', 'target_tokens'),
    *('text_feat', 'similarity', 'fda', 'fd', 'relevance'),
)


@pytest.mark.parametrize('field', FIELDS)
def test_parity(case, outputs, field):
    torch.testing.assert_close(
        outputs[field], case[field], atol=1e-5, rtol=1e-5
    )


@pytest.fixture
def batch():
    torch.manual_seed(0)
    tokens = torch.randint(5, 60, (4, 9))
    tokens[1, 6:] = 0
    return torch.randn(4, 3, 28, 28), torch.randn(4, 3, 28, 28), tokens


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(tiny_blip2_cfg(**kwargs))


def test_padding_is_the_mask_where_none_is_given(batch):
    encoder = build().eval()
    reference, _, tokens = batch
    mask = (tokens != 0).long()
    assert not mask.all()
    with torch.inference_mode():
        given = encoder.encode_query(reference, tokens, mask)
        found = encoder.encode_query(reference, tokens)
        text = encoder.encode_text(tokens)
        wanted = encoder.encode_text_only(tokens, mask)
    assert torch.equal(given, found)
    torch.testing.assert_close(text, wanted, atol=1e-5, rtol=0)


def test_hidden_states_are_what_is_projected(batch):
    encoder = build().eval()
    reference, target, tokens = batch
    with torch.inference_mode():
        query, hidden = encoder.encode_query(
            reference, tokens, return_hidden=True
        )
        targets, states = encoder.encode_target(target, return_hidden=True)
        again = encoder.blip2.text_projection(hidden)
        targets_again = encoder.blip2.vision_projection(states)
        vision = encoder.encode_vision(reference)
        fused = encoder.fuse(vision, tokens, (tokens != 0).long())
    torch.testing.assert_close(hidden, fused[:, 8], atol=1e-5, rtol=0)
    assert torch.equal(torch.nn.functional.normalize(again, dim=-1), query)
    assert states.shape == (4, 8, 64)
    assert torch.equal(
        torch.nn.functional.normalize(targets_again, dim=-1), targets
    )


def fafa_loss(encoder, batch):
    reference, target, tokens = batch
    query, hidden = encoder.encode_query(reference, tokens, None, True)
    targets, states = encoder.encode_target(target, return_hidden=True)
    similarity = fda_similarity(query, targets, 6)
    loss = fda_loss(similarity, torch.arange(4), encoder.temperature)
    return loss + (hidden - states.mean(1)).square().mean()


def test_frozen_tower_stays_and_all_else_gets_a_gradient(batch):
    encoder = build().train()
    fafa_loss(encoder, batch).backward()
    trained = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert 'blip2.vision_model.post_layernorm.weight' in trained
    assert not any('vision_model.encoder' in name for name in trained)
    assert 'blip2.itm_head.weight' not in trained
    assert 'temperature' not in trained
    # Distributed training stops at a parameter that trains and is not used.
    lonely = [
        n
        for n, p in encoder.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not lonely
    assert not encoder.blip2.vision_model.encoder.training
    assert encoder.blip2.qformer.training


def test_learnt_temperature_and_other_frozen_parts(batch):
    encoder = build(
        frozen=('vision', 'ln_vision', 'qformer'), learn_temperature=True
    )
    fafa_loss(encoder.train(), batch).backward()
    trained = {n for n, p in encoder.named_parameters() if p.grad is not None}
    assert trained == {
        'temperature',
        *(
            f'blip2.{side}_projection.{name}'
            for side in ('vision', 'text')
            for name in ('weight', 'bias')
        ),
    }
    assert not encoder.blip2.qformer.training


def test_grad_checkpointing_gives_the_same_gradient(batch):
    grads = []
    for checkpointing in (False, True):
        encoder = build(
            frozen=(), dropout=0.0, grad_checkpointing=checkpointing
        ).train()
        fafa_loss(encoder, batch).backward()
        layer = encoder.blip2.vision_model.encoder.layers[0]
        on = any(
            getattr(module, 'gradient_checkpointing', False)
            for module in encoder.modules()
        )
        assert on == checkpointing
        grads.append(layer.mlp.fc1.weight.grad)
    assert grads[0].abs().max() > 0
    torch.testing.assert_close(grads[0], grads[1])


def test_vit_in_half_precision(batch):
    full, half = build(), build(vision_dtype='bfloat16')
    half.load_state_dict(full.state_dict())
    tower = half.blip2.vision_model
    assert tower.encoder.layers[0].mlp.fc1.weight.dtype == torch.bfloat16
    assert tower.post_layernorm.weight.dtype == torch.float32
    with torch.inference_mode():
        wanted = full.eval().encode_image(batch[0])
        got = half.eval().encode_image(batch[0])
    assert got.dtype == torch.float32
    assert (got * wanted).sum(-1).min() > 0.99


def test_bfloat16_autocast(batch):
    encoder = build(dropout=0.0).train()
    wanted = fafa_loss(encoder, batch)
    with torch.autocast('cpu', torch.bfloat16):
        loss = fafa_loss(encoder, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss.item() == pytest.approx(wanted.item(), rel=0.05)
    grad = encoder.blip2.query_tokens.grad
    assert grad.abs().max() > 0
    assert torch.isfinite(grad).all()


def test_images_of_another_size(batch):
    encoder = build(image_size=(56, 28)).eval()
    with torch.inference_mode():
        feats = encoder.encode_vision(torch.randn(2, 3, 56, 28))
    assert feats.shape == (2, 1 + 4 * 2, 48)
    with pytest.raises(ValueError, match='takes images of 56x28'):
        encoder.encode_vision(batch[0])


def test_wora_starts_as_the_model_and_trains_inside_a_frozen_tower(batch):
    encoder = build(dropout=0.0, grad_checkpointing=True)
    with torch.inference_mode():
        before = encoder.eval().encode_query(batch[0], batch[2])
    names = inject_adapters(
        encoder,
        dict(type='WoRA', rank=4),
        targets=[
            dict(type=r'blip2\.vision_model\..*\.(qkv|projection|fc1|fc2)'),
            dict(type=r'blip2\.qformer\..*\.(query|key|value|dense)'),
        ],
    )
    assert len(names) == 2 * 4 + 2 * (3 + 1 + 4) + 4
    with torch.inference_mode():
        after = encoder.eval().encode_query(batch[0], batch[2])
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    parameters = [p for p in encoder.parameters() if p.requires_grad]
    optim = OptimWrapper(torch.optim.SGD(parameters, lr=0.05))
    losses = []
    for _ in range(3):
        loss = fafa_loss(encoder.train(), batch)
        losses.append(loss.item())
        optim.update_params(loss)
    assert losses[-1] < losses[0]
    tower = encoder.blip2.vision_model.encoder
    # transformers recomputes activations in training mode only.
    assert tower.training
    assert all(layer.training for layer in tower.layers)
    assert tower.layers[0].self_attn.qkv.lora_B.abs().max() > 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(frozen=('vit',)), 'frozen takes'),
        (dict(vision_dtype='int8'), 'vision_dtype must be one of'),
        (dict(frozen=(), vision_dtype='bfloat16'), 'is for a frozen ViT'),
        (dict(image_size=30), 'no multiple of the patch size 14'),
        (dict(model=dict(vision=3)), 'takes vision_config, qformer_config'),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        build(**change)


def test_too_many_tokens():
    tokens = torch.ones(1, 65, dtype=torch.long)
    with pytest.raises(ValueError, match='at most 64 text tokens, got 65'):
        build().encode_text(tokens)
