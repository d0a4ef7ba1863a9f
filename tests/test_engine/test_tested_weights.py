"""What a checkpoint may lack where a model is tested."""

import pytest
from torch import nn

from mmtpr.engine.tested_weights import (
    grouped_names,
    spared_in_test,
    starts_from_weights,
)
from mmtpr.models.adapters import (
    AdapterModel,
    adapter_state_dict,
    trainable_state_dict,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg

PRETRAINED = dict(encoder=dict(module=dict(pretrained='openai')))


@pytest.fixture(scope='module')
def adapted():
    """A retriever with adapters in the image tower and trained norms."""
    encoder = dict(
        type='mmtpr.WoRAModel',
        module=tiny_encoder_cfg(),
        rank=2,
        targets=[dict(type=r'clip\.visual\..*\.mlp\.c_fc')],
        trainable=[r'clip\.visual\.ln_post\..*'],
    )
    return MODELS.build(tiny_retriever_cfg(encoder=encoder))


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
            head=dict(type='mmtpr.FAFAHead', topk=1),
            freeze_encoder=True,
        )
    )


def test_losses_and_heads_of_training_are_not_tested(adapted, composed):
    assert spared_in_test(adapted, adapted.state_dict()).unused == ('losses.',)
    spared = spared_in_test(composed, composed.state_dict(), PRETRAINED)
    assert spared.unused == ('losses.', 'head.')
    assert not spared.kept
    # A classifier's head is what is tested.
    assert spared_in_test(nn.Linear(2, 2), ['weight']).unused == ()


def test_adapters_alone_need_pretrained_weights_below(adapted):
    file = adapter_state_dict(adapted)
    spared = spared_in_test(adapted, file, PRETRAINED)
    own = {n for n in adapted.state_dict() if n.startswith('encoder.')}
    assert spared.kept == own - set(file)
    # Norms that were trained, and are not in the file.
    assert len(spared.tuned) == 2
    assert all('.ln_post.' in name for name in spared.tuned)
    everything = trainable_state_dict(adapted)
    assert not spared_in_test(adapted, everything, PRETRAINED).tuned
    bare = spared_in_test(adapted, file, dict(encoder=dict(pretrained=None)))
    assert not bare.kept
    assert 'set pretrained' in bare.hint


def test_a_part_of_the_encoder_is_no_file_of_adapters(adapted):
    whole = dict(adapted.state_dict())
    del whole['encoder.module.clip.text_projection']
    assert not spared_in_test(adapted, whole, PRETRAINED).kept
    one_short = list(adapter_state_dict(adapted))[1:]
    assert not spared_in_test(adapted, one_short, PRETRAINED).kept


def test_a_tinet_alone_needs_a_pretrained_encoder(composed):
    file = [n for n in composed.state_dict() if n.startswith('query.')]
    spared = spared_in_test(composed, file, PRETRAINED)
    assert spared.kept == {
        n for n in composed.state_dict() if n.startswith('encoder.')
    }
    assert not spared.tuned
    assert not spared_in_test(composed, file).kept
    # A file with nothing that is tested spares nothing.
    assert not spared_in_test(composed, [], PRETRAINED).kept
    assert not spared_in_test(composed, ['losses.x'], PRETRAINED).kept


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
    cfg = dict(init_cfg=dict(type='Pretrained', checkpoint='x.pth'))
    kept = spared_in_test(model, file, cfg).kept
    assert '0.module.0.linear.weight' in kept
    assert '0.module.1.weight' in kept
    assert '1.weight' not in kept  # the head trains


@pytest.mark.parametrize(
    ('cfg', 'expected'),
    [
        (None, False),
        (dict(pretrained=None), False),
        (dict(a=[dict(pretrained='openai')]), True),
        (dict(image_pretrained='swin.pth'), False),
        (dict(image_pretrained='swin.pth', text_pretrained='bert'), True),
        (dict(init_cfg=dict(type='Pretrained', checkpoint='a')), True),
        (dict(init_cfg=dict(type='Kaiming', layer='Linear')), False),
    ],
)
def test_pretrained_weights_of_a_config(cfg, expected):
    assert starts_from_weights(cfg) is expected


def test_names_are_grouped_as_far_as_they_stand_alone():
    names = ['q.tinets.2.a.weight', 'q.tinets.2.a.bias', 'q.scale', 'z.w']
    shared = ['q.tinets.0.a.weight', 'q.tinets.1.a.weight', 'e.w']
    text = grouped_names(names, shared)
    assert text == 'q.tinets.2.* (2), q.scale, z.w'
    many = grouped_names([f'a.{i}' for i in range(5)], ['a.x'], limit=2)
    assert many == 'a.0, a.1 and 3 more'
