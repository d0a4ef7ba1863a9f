"""What a checkpoint covers of a model that is to be used."""

import pytest
import torch
from torch import nn

from mmtpr.checkpoints.coverage import (
    LACKS,
    Coverage,
    adapter_keys,
    lacking_trained,
    trained_keys,
    untrained_random,
    unused_keys,
)
from mmtpr.checkpoints.grouped_names import grouped_names
from mmtpr.models.adapters import (
    AdapterModel,
    adapter_state_dict,
    trainable_state_dict,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg
from mmtpr.utils.errors import LaunchError

PRETRAINED = dict(encoder=dict(module=dict(pretrained='openai')))


def with_adapters(trainable):
    """A retriever with adapters in the image tower, and what else trains."""
    encoder = dict(
        type='mmtpr.WoRAModel',
        module=tiny_encoder_cfg(),
        rank=2,
        targets=[dict(type=r'clip\.visual\..*\.mlp\.c_fc')],
        trainable=[trainable],
    )
    return MODELS.build(tiny_retriever_cfg(encoder=encoder))


@pytest.fixture(scope='module')
def adapted():
    """One with trained norms."""
    return with_adapters(r'clip\.visual\.ln_post\..*')


@pytest.fixture(scope='module')
def composed():
    return MODELS.build(
        dict(
            type='mmtpr.ComposedPersonRetriever',
            encoder=tiny_encoder_cfg(context_length=16),
            query=dict(
                type='mmtpr.PseudoWordQuery',
                tinets=[dict(type='mmtpr.TINet', hidden_dim=8)],
            ),
            head=dict(type='mmtpr.FAFAHead', topk_tokens=1),
            freeze_encoder=True,
        )
    )


def test_losses_and_heads_of_training_are_left_aside(adapted, composed):
    for model, keys in ((adapted, 1), (composed, 0)):
        unused = unused_keys(model)
        state = model.state_dict()
        used = {k: v for k, v in state.items() if not unused(k)}
        assert len(state) - len(used) >= keys
        assert Coverage.of(model, used).require('a.pth') == []
        wider = dict(used.items())
        wider['losses.id.classifier.weight'] = torch.zeros(9, 3)
        assert Coverage.of(model, wider).fit.whole
    assert unused_keys(composed)('head.x')
    assert not unused_keys(adapted)('head.x')
    # A classifier's head is what is tested.
    assert not unused_keys(nn.Linear(2, 2))('weight')


def test_adapters_without_trained_norms_stop(adapted):
    file = adapter_state_dict(adapted)
    cover = Coverage.of(adapted, file, PRETRAINED)
    assert len(cover.untrained) == 2
    assert all('.ln_post.' in key for key in cover.untrained)
    with pytest.raises(LaunchError, match=r'lacks weights that were trained'):
        cover.require('a.pth')
    lines = cover.require('a.pth', allow_partial=True)
    assert '2 missing keys' in lines[0]
    everything = trainable_state_dict(adapted)
    cover = Coverage.of(adapted, everything, PRETRAINED)
    assert not cover.untrained
    (line,) = cover.require('a.pth')
    assert 'are the pretrained ones of the config' in line


def test_a_file_says_what_it_lacks(adapted):
    """Also where the config at hand trains less."""
    key = 'encoder.module.clip.positional_embedding'
    meta = {LACKS: dict(count=1, keys=[key])}
    file = trainable_state_dict(adapted)
    assert lacking_trained(adapted, file, meta) == [key]
    cover = Coverage.of(adapted, file, PRETRAINED, meta)
    assert cover.untrained == (key,)


def test_what_nothing_brings_would_be_random(adapted):
    file = trainable_state_dict(adapted)
    cover = Coverage.of(adapted, file, dict(encoder=dict(pretrained=None)))
    assert not cover.untrained
    assert not cover.brought
    for allow in (False, True):
        with pytest.raises(LaunchError, match=r'would be random\. Set pretr'):
            cover.require('a.pth', allow)


def test_a_file_with_gaps_is_no_file_of_adapters(adapted):
    whole = dict(adapted.state_dict())
    del whole['encoder.module.clip.text_projection']
    one_short = adapter_state_dict(adapted)
    del one_short[next(k for k in one_short if k.endswith('.magnitude'))]
    for file in (whole, one_short):
        cover = Coverage.of(adapted, file, PRETRAINED)
        assert cover.fit.missing
        with pytest.raises(LaunchError, match=r'missing key.* Nothing was'):
            cover.require('a.pth', allow_partial=True)


def test_a_tinet_alone_needs_a_pretrained_encoder(composed):
    state = composed.state_dict()
    file = {k: v for k, v in state.items() if k.startswith('query.')}
    cover = Coverage.of(composed, file, dict(encoder=dict(pretrained='a')))
    assert set(cover.brought) == {k for k in state if k.startswith('encoder.')}
    assert not cover.untrained
    assert Coverage.of(composed, file).random
    # A file with nothing that is used is no part.
    assert Coverage.of(composed, {}, PRETRAINED).fit.missing


def test_other_models_keep_what_is_frozen():
    model = nn.Sequential(
        AdapterModel(
            nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)),
            adapter=dict(type='LoRA', rank=2),
            targets=[dict(type='0')],
        ),
        nn.Linear(4, 2),
    )
    file = adapter_state_dict(model)
    cfg = {'0': dict(init_cfg=dict(type='Pretrained', checkpoint='x.pth'))}
    cover = Coverage.of(model, file, cfg)
    assert '0.module.0.linear.weight' in cover.brought
    assert '0.module.1.weight' in cover.brought
    assert cover.random == ('1.weight', '1.bias')  # the head trains


def test_keys_of_adapters_and_of_training(adapted):
    state = adapted.state_dict()
    assert adapter_keys(state) == set(adapter_state_dict(adapted))
    assert adapter_keys(['a.alpha', 'a.b.beta']) == set()
    assert trained_keys(adapted) == set(trainable_state_dict(adapted))


def test_buffers_that_no_checkpoint_holds_are_not_missed():
    """A text tower of CLIP has a causal mask, not persistent."""
    model = with_adapters(r'clip\.positional_embedding')
    assert 'encoder.module.clip.attn_mask' in dict(model.named_buffers())
    state = model.state_dict()
    assert trained_keys(model) <= state.keys()
    assert lacking_trained(model, state, {}) == []


def test_random_weights_of_a_model_without_checkpoint(adapted, composed):
    assert untrained_random(adapted, PRETRAINED) == []
    bare = untrained_random(adapted, dict(encoder={}))
    assert 'encoder.module.clip.visual.conv1.weight' in bare
    assert not any('lora_' in key or 'losses' in key for key in bare)
    only = untrained_random(composed, dict(encoder=dict(pretrained='a')))
    assert only
    assert all(key.startswith('query.tinets.0.') for key in only)


def test_names_are_grouped_as_far_as_they_stand_alone():
    names = ['q.tinets.2.a.weight', 'q.tinets.2.a.bias', 'q.scale', 'z.w']
    shared = ['q.tinets.0.a.weight', 'q.tinets.1.a.weight', 'e.w']
    text = grouped_names(names, shared)
    assert text == 'q.tinets.2.* (2), q.scale, z.w'
    many = grouped_names([f'a.{i}' for i in range(5)], ['a.x'], limit=2)
    assert many == 'a.0, a.1 and 3 more'
