"""Microsoft's Swin and mmpretrain's."""

import pytest
import torch
from layouts import swin

from mmtpr.converters import resize_windows, swin_map
from mmtpr.converters.keys.swin import (
    position_index,
    resize_table,
    stacked_order,
    unfold_order,
)

TINY = dict(
    width=8,
    depths=(2, 1),
    heads=(1, 2),
    windows=(4, 2),
    size=(32, 16),
)


@pytest.fixture(scope='module')
def backbone():
    return pytest.importorskip(
        'mmpretrain.models', reason='Swin is that of mmpretrain'
    ).SwinTransformer


def test_full_size_names_and_shapes_are_one_to_one(
    backbone, meta_state, on_meta
):
    theirs = swin()
    state = meta_state(theirs | {'head.weight': (21841, 1024)})
    own = on_meta(lambda: backbone(arch='base', img_size=224)).state_dict()
    done = swin_map(state)(state)
    assert {k: v.shape for k, v in done.state.items()} == {
        k: v.shape for k, v in own.items()
    }
    masks = [k for k in theirs if k.endswith('attn_mask')]
    assert len(masks) == 1 + 1 + 9
    assert set(done.ignored) == {*masks, 'head.weight'}
    back = swin_map(own).inverse()(own).state
    assert {k: tuple(v.shape) for k, v in back.items()} == {
        k: v for k, v in theirs.items() if k not in masks
    }


def test_there_and_back_is_the_same(random_state):
    state = random_state(swin(**TINY))
    done = swin_map(state)(state)
    back = swin_map(done.state).inverse()(done.state).state
    assert set(back) | set(done.ignored) == set(state)
    assert all(torch.equal(back[k], state[k]) for k in back)


def test_image_tokens_are_those_of_the_release(backbone, private_parity):
    case = torch.load(private_parity('aptm_mini.pt'), weights_only=True)
    prefix, cfg = 'vision_encoder.', case['config']['vision']
    state = {
        k.removeprefix(prefix): v
        for k, v in case['model'].items()
        if k.startswith(prefix)
    }
    swin = backbone(
        arch=dict(
            embed_dims=cfg['embed_dim'],
            depths=cfg['depths'],
            num_heads=cfg['num_heads'],
        ),
        img_size=(cfg['h'], cfg['w']),
        stage_cfgs=[dict(window_size=size) for size in (4, 4, 4, 2)],
    )
    swin.eval()
    done = swin_map(state)(state)
    swin.load_state_dict(done.state, strict=True)
    with torch.no_grad():
        tokens = swin(case['image'])[-1].flatten(2).transpose(1, 2)
    wanted = case['image_embeds'][:, 1:]
    torch.testing.assert_close(tokens, wanted, atol=1e-4, rtol=1e-4)


def test_neighbours_change_places():
    # Microsoft: all channels of (0,0), (1,0), (0,1), (1,1).
    theirs = torch.tensor([0, 1, 20, 21, 10, 11, 30, 31])
    ours = torch.tensor([0, 10, 20, 30, 1, 11, 21, 31])
    assert torch.equal(unfold_order(theirs), ours)
    assert torch.equal(stacked_order(ours), theirs)


def test_the_index_is_that_of_the_model(backbone):
    net = backbone(
        arch=dict(embed_dims=8, depths=[1], num_heads=[1]),
        window_size=4,
        out_indices=(0,),
    )
    name = 'stages.0.blocks.0.attn.w_msa.relative_position_index'
    assert torch.equal(position_index(4), net.state_dict()[name])


def test_tables_are_resized_as_in_the_release():
    # Values of SciPy's cubic interpolation, which the release calls.
    table = torch.arange(25.0).sin()[:, None]
    wanted = [0.0, 0.2756770, 0.8414710, 0.9092974]
    resized = resize_table(table, 4)
    assert resized.shape == (49, 1)
    assert resized.flatten()[:4].tolist() == pytest.approx(wanted, abs=1e-6)
    assert resize_table(table, 3) is table
    # A smaller window keeps the inner offsets.
    square = torch.arange(13.0).expand(13, 13).reshape(169, 1)
    inner = resize_table(square, 4).view(7, 7)[0]
    assert inner.diff().min() > 0.95
    assert inner[3].item() == pytest.approx(6.0, abs=1e-5)


def test_windows_of_a_state_dict(random_state):
    state = random_state(swin(**TINY))
    for names in (state, swin_map(state)(state).state):
        resized = resize_windows(names, (8, 2))
        changed = [k for k in names if resized[k] is not names[k]]
        assert len(changed) == 4
        for key in changed:
            rows = 64 if key.endswith('index') else 225
            assert len(resized[key]) == rows
    with pytest.raises(ValueError, match='2 stages, got 3 window sizes'):
        resize_windows(state, (8, 8, 8))
