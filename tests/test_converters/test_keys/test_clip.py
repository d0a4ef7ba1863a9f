"""CLIP, IRRA and Word4Per in mmtpr's names and back."""

import math

import pytest
import torch
from layouts import clip, irra, linear, prefixed, tinet

from mmtpr.checkpoints import Fit
from mmtpr.converters import (
    export_stage2,
    import_stage2,
    irra_map,
    loss_names,
    openai_map,
    with_scale,
)
from mmtpr.converters.command_line import meta_model
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_retriever_cfg

TINY = dict(
    image=32, text=32, embed=32, layers=(2, 2), places=9, length=32, depth=1
)


def shapes(state):
    return {k: tuple(v.shape) for k, v in state.items()}


@pytest.fixture(scope='module')
def vit_b16(repo_root):
    """The real IRRA on CUHK-PEDES, without weights."""
    return meta_model(str(repo_root / 'configs/irra_cuhk.py')).state_dict()


def test_full_size_irra_is_one_to_one(vit_b16, meta_state):
    theirs = irra()
    done = with_scale(irra_map()(meta_state(theirs)))
    assert not done.ignored
    assert shapes(done.state) == shapes(vit_b16)
    assert len(vit_b16) == len(theirs) + 1
    back = irra_map(loss_names(vit_b16)).inverse()(vit_b16)
    assert shapes(back.state) == theirs
    assert list(back.ignored) == ['encoder.clip.logit_scale']


def test_full_size_openai_is_one_to_one(vit_b16, meta_state):
    theirs = clip() | {'logit_scale': ()}
    numbers = {'input_resolution': (), 'context_length': (), 'vocab_size': ()}
    done = openai_map()(meta_state(theirs | numbers))
    assert set(done.ignored) == set(numbers)
    own = {k: v for k, v in vit_b16.items() if k.startswith('encoder.')}
    assert shapes(done.state) == shapes(own)
    back = openai_map().inverse()(vit_b16)
    assert shapes(back.state) == theirs
    assert all(key.startswith('losses.') for key in back.ignored)


def test_full_size_resnet_of_openai_is_one_to_one(meta_state):
    with torch.device('meta'):
        encoder = MODELS.build(
            dict(
                type='mmtpr.OpenCLIPEncoder',
                model='RN50',
                image_size=(224, 224),
            )
        )
    own = shapes(encoder.clip.state_dict())
    done = openai_map('clip.')(meta_state(own))
    assert shapes(done.state) == shapes(encoder.state_dict())


def test_full_size_word4per_is_one_to_one(repo_root, meta_state):
    config = str(repo_root / 'configs/word4per_stage2_cuhk_itcpr.py')
    own = meta_model(config).state_dict()
    stage1 = prefixed(clip(), 'base_model.') | linear('classifier', 512, 11003)
    done = import_stage2(meta_state(stage1), meta_state(tinet()))
    assert set(done.ignored) == {'classifier.weight', 'classifier.bias'}
    assert shapes(done.state) == shapes(own)
    model, words = export_stage2(own)
    assert shapes(model.state) == prefixed(clip(), 'base_model.')
    assert shapes(words.state) == tinet()


def test_a_temperature_is_written():
    scale = with_scale(irra_map()({})).state['encoder.clip.logit_scale']
    assert scale.item() == pytest.approx(math.log(50))


def test_losses_may_be_called_otherwise():
    cfg = tiny_retriever_cfg()
    cfg['losses'] = dict(
        people=cfg['losses']['id'],
        words=dict(type='mmtpr.MLMLoss', layers=1),
    )
    state = MODELS.build(cfg).state_dict()
    assert loss_names(state) == ('people', 'words')
    back = irra_map(loss_names(state)).inverse()(state)
    assert shapes(back.state) == irra(pids=6, **TINY)


def test_heads_are_left_out_on_demand(random_state):
    done = irra_map(None)(random_state(irra(pids=6, **TINY)))
    assert all(k.startswith('encoder.clip.') for k in done.state)
    assert len(done.ignored) == 2 + 4 + 12 + 6 + 6


def test_a_retriever_of_another_loss_cannot_become_irra(random_state):
    state = {'losses.extra.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'losses\.extra\.weight'):
        irra_map().inverse()(state)


def test_other_vocabularies_are_named(vit_b16, meta_state):
    done = with_scale(irra_map()(meta_state(irra(words=30522))))
    with pytest.raises(
        ValueError,
        match='vocabulary has 30522 words there and 49408 in the model',
    ):
        Fit.of(done.state, vit_b16).raise_for('irra.pth')
    done.state.pop('encoder.clip.ln_final.bias')
    with pytest.raises(ValueError, match=r'1 missing key \(.*ln_final'):
        Fit.of(done.state, vit_b16).raise_for('irra.pth')


def test_word4per_gives_the_features_of_the_release(private_parity):
    case = torch.load(private_parity('word4per_mini.pt'), weights_only=True)
    cfg = case['config']
    model = MODELS.build(
        dict(
            type='mmtpr.ComposedPersonRetriever',
            encoder=dict(
                type='mmtpr.OpenCLIPEncoder',
                model=dict(
                    embed_dim=cfg['embed_dim'],
                    vision_cfg=dict(
                        cfg['vision'], image_size=cfg['image_size']
                    ),
                    text_cfg=cfg['text'],
                ),
                quick_gelu=True,
            ),
            query=dict(
                type='mmtpr.PseudoWordQuery',
                tinets=[dict(type='mmtpr.TINet', hidden_dim=48)],
            ),
        )
    ).eval()
    release = {f'base_model.{k}': v for k, v in case['clip'].items()}
    done = import_stage2(release, case['tinet'])
    model.load_state_dict(done.state, strict=True)
    with torch.no_grad():
        image = model.encoder.encode_image(case['image'])
        word = model.query.tinets[0](image)
        composed = model.encoder.encode_text_with_words(
            case['composed_ids'], word, case['placeholder_id']
        )
    for got, wanted in (
        (image, 'image_feat'),
        (word[:, 0], 'pseudo_word'),
        (composed, 'composed_feat'),
    ):
        torch.testing.assert_close(got, case[wanted], atol=1e-5, rtol=1e-4)
    clip_part, words = export_stage2(model.state_dict())
    assert all(
        torch.equal(words.state[k], v) for k, v in case['tinet'].items()
    )
    assert all(
        torch.equal(clip_part.state[f'base_model.{k}'], v)
        for k, v in case['clip'].items()
    )


def test_one_of_several_tinets(random_state):
    one = random_state(tinet(8, 8, 8))
    state = {
        f'query.tinets.{n}.{k}': v + n
        for n in range(2)
        for k, v in one.items()
    }
    _, words = export_stage2(state, 1)
    assert torch.equal(words.state['fc_out.bias'], one['fc_out.bias'] + 1)
    assert len(words.ignored) == len(one)
    with pytest.raises(ValueError, match=r'no TINet 2; .* has \[0'):
        export_stage2(state, 2)
