"""RDE in mmtpr's names and back."""

import pytest
import torch
from layouts import clip, prefixed, rde

from mmtpr.checkpoints.completeness import check_whole
from mmtpr.converters import neck_name, rde_map, with_scale, with_unused
from mmtpr.converters.command_line import meta_model
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_retriever_cfg

TINY = dict(
    image=32,
    text=32,
    width=32,
    layers=(2, 2),
    places=9,
    length=32,
    embed=24,
    hidden=12,
)
UNUSED = 2 * 5 + 2


def shapes(state):
    return {k: tuple(v.shape) for k, v in state.items()}


@pytest.fixture(scope='module')
def vit_b16(repo_root):
    """The real RDE, without weights."""
    return meta_model(str(repo_root / 'configs/rde_cuhk.py')).state_dict()


def test_full_size_rde_is_one_to_one(vit_b16, meta_state):
    theirs = rde()
    done = with_scale(rde_map()(meta_state(theirs)))
    assert len(done.ignored) == UNUSED
    assert len(done.state) == len(theirs) - UNUSED + 1
    assert shapes(done.state) == shapes(vit_b16)
    assert neck_name(vit_b16) == 'tse'
    back = with_unused(rde_map().inverse()(vit_b16))
    assert shapes(back.state) == theirs
    assert list(back.ignored) == ['encoder.clip.logit_scale']


def tiny_model():
    neck = dict(type='mmtpr.TokenSelection', embed_dim=24, hidden_dim=12)
    losses = dict(bge=dict(type='mmtpr.TALLoss'))
    return MODELS.build(
        tiny_retriever_cfg(necks=dict(tse=neck), losses=losses)
    )


def test_a_released_file_loads_strictly_and_comes_back(random_state):
    state = random_state(rde(**TINY))
    for key in state:
        if key.endswith('num_batches_tracked'):
            state[key] = torch.tensor(7)
    done = with_scale(rde_map()(state))
    model = tiny_model()
    model.load_state_dict(done.state, strict=True)
    back = with_unused(rde_map().inverse()(model.state_dict()))
    used = {k for k in state if k not in done.ignored}
    assert set(back.state) == set(state)
    assert all(torch.equal(back.state[k], state[k]) for k in used)


def test_sides_are_not_mixed_up(random_state):
    """The image side uses ``fc``, the text side ``linear``."""
    state = random_state(rde(**TINY))
    done = rde_map()(state).state
    for ours, theirs in (
        ('image.shortcut', 'visul_emb_layer.fc'),
        ('text.shortcut', 'texual_emb_layer.linear'),
        ('image.norm', 'visul_emb_layer.mlp.bns.0'),
        ('text.output', 'texual_emb_layer.mlp.layers.1'),
    ):
        for leaf in ('weight', 'bias'):
            got = done[f'necks.tse.{ours}.{leaf}']
            assert torch.equal(got, state[f'{theirs}.{leaf}'])


def test_half_weights_become_float(random_state):
    """The release keeps linear layers in float16."""
    state = {k: v.half() for k, v in random_state(rde(**TINY)).items()}
    done = rde_map()(state)
    assert all(v.dtype != torch.float16 for v in done.state.values())


def test_an_unknown_key_stops(random_state):
    state = random_state(rde(**TINY)) | {'classifier.weight': torch.ones(1)}
    with pytest.raises(ValueError, match=r'classifier\.weight'):
        rde_map()(state)


def test_a_missing_layer_is_named(random_state):
    done = with_scale(rde_map()(random_state(rde(**TINY)))).state
    check_whole(done, 'a.pth')
    done.pop('necks.tse.text.output.bias')
    with pytest.raises(ValueError, match=r'1 weights.*tse.text.output.bias'):
        check_whole(done, 'a.pth')


def test_it_is_irras_clip(meta_state):
    """What is not of the token layers is a CLIP without temperature."""
    own = {k: s for k, s in rde().items() if k.startswith('base_model.')}
    assert own == prefixed(clip(), 'base_model.')
