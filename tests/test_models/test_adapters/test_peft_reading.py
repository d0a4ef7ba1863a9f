"""Adapters of peft itself, read, trained on and written again."""

import copy

import pytest
import torch
from peft_cases import (
    files_of,
    images,
    peft_applies_out_proj_twice,
    peft_folder,
    plain,
    write,
)
from torch import nn

from mmtpr.models.adapters import (
    inject_adapters,
    load_peft_adapter,
    named_adapters,
    peft_adapter,
    read_peft_adapter,
)


def check_both_ways(tmp_path, theirs, **export):
    """Ours equals theirs; written again, keys and outputs are theirs."""
    peft = pytest.importorskip('peft', reason='asks peft itself')
    folder = tmp_path / 'theirs'
    ours = plain()
    twice = export.get('out_proj_twice')
    names = load_peft_adapter(ours, folder, out_proj_twice=twice)
    x = images()
    with torch.no_grad():
        wanted, before = theirs(x), plain()(x)
        torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-5)
        assert (wanted - before).abs().max() > 1e-3
    config, state = peft_adapter(ours, **export)
    their_config, their_state = files_of(folder)
    assert set(state) == set(their_state)
    for key in ('peft_type', 'use_dora', 'use_rslora', 'oft_block_size'):
        assert config.get(key) == their_config.get(key), key
    written = write(tmp_path / 'ours', config, state)
    again = peft.PeftModel.from_pretrained(plain(), str(written)).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(x), wanted, atol=1e-5, rtol=1e-5)
    return names, state, their_state


LAYERS = ['stem', 'fc.0', 'fc.2']


@pytest.mark.parametrize(
    'options',
    [
        dict(r=4, lora_alpha=6),
        dict(r=4, lora_alpha=6, use_rslora=True),
        dict(r=4, lora_alpha=6, use_dora=True),
        dict(r=4, lora_alpha=6, use_dora=True, use_rslora=True),
        dict(
            r=4,
            lora_alpha=6,
            rank_pattern={'fc.0': 2},
            alpha_pattern={'fc.0': 3, 'stem': 1},
            lora_dropout=0.1,
        ),
    ],
    ids=['LoRA', 'rslora', 'DoRA', 'DoRA-rslora', 'patterns'],
)
def test_low_rank_both_ways(tmp_path, options):
    theirs = peft_folder(tmp_path / 'theirs', target_modules=LAYERS, **options)
    names, state, their_state = check_both_ways(tmp_path, theirs)
    assert names == LAYERS
    for key, value in their_state.items():
        torch.testing.assert_close(state[key], value)


@pytest.mark.parametrize('neumann', [True, False])
@pytest.mark.parametrize('shared', [True, False])
def test_oft_both_ways(tmp_path, neumann, shared):
    theirs = peft_folder(
        tmp_path / 'theirs',
        'OFTConfig',
        target_modules=['fc.0', 'fc.2'],
        oft_block_size=4,
        use_cayley_neumann=neumann,
        block_share=shared,
    )
    names, state, their_state = check_both_ways(tmp_path, theirs)
    assert names == ['fc.0', 'fc.2']
    for key, value in their_state.items():
        torch.testing.assert_close(state[key], value)


def test_oft_by_the_number_of_blocks_both_ways(tmp_path):
    """Layers of other widths have blocks of other sizes."""
    theirs = peft_folder(
        tmp_path / 'theirs',
        'OFTConfig',
        target_modules=['fc.0', 'fc.2'],
        r=2,
        oft_block_size=0,
    )
    _, state, their_state = check_both_ways(tmp_path, theirs)
    for key, value in their_state.items():
        torch.testing.assert_close(state[key], value)


def test_attention_both_ways(tmp_path):
    theirs = peft_folder(
        tmp_path / 'theirs', target_modules=['attn', 'fc.0'], r=2
    )
    with pytest.raises(ValueError, match=r'peft#3774.*--out-proj twice'):
        read_peft_adapter(plain(), tmp_path / 'theirs')
    twice = peft_applies_out_proj_twice()
    names, *_ = check_both_ways(tmp_path, theirs, out_proj_twice=twice)
    assert names == [
        *(f'attn.{p}' for p in ('q', 'k', 'v', 'out_proj')),
        'fc.0',
    ]


@pytest.mark.parametrize('rslora', [False, True])
def test_pissa(tmp_path, rslora):
    """Peft's file lacks the start: it is computed from the base again."""
    theirs = peft_folder(
        tmp_path / 'theirs',
        target_modules=['fc.0', 'fc.2'],
        init_lora_weights='pissa',
        r=3,
        lora_alpha=5,
        use_rslora=rslora,
    )
    ours = plain()
    read = read_peft_adapter(ours, tmp_path / 'theirs')
    assert read.adapter['init'] == 'pissa'
    load_peft_adapter(ours, tmp_path / 'theirs')
    x = images()
    with torch.no_grad():
        wanted = theirs(x)
        torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-4)
    # Back it goes as a plain LoRA of twice the rank, as peft converts it.
    config, state = peft_adapter(ours)
    assert config['r'] == 6
    assert config['use_rslora'] == rslora
    peft = pytest.importorskip('peft')
    written = write(tmp_path / 'ours', config, state)
    again = peft.PeftModel.from_pretrained(plain(), str(written)).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(x), wanted, atol=1e-5, rtol=1e-4)


def test_grouped_convolutions_go_out_and_come_back(tmp_path):
    peft = pytest.importorskip('peft', reason='asks peft itself')
    ours = plain()
    inject_adapters(ours, dict(type='LoRA', rank=4), [dict(type='grouped')])
    nn.init.normal_(ours.grouped.lora_B, std=0.3)
    folder = write(tmp_path / 'ours', *peft_adapter(ours))
    theirs = peft.PeftModel.from_pretrained(plain(), str(folder)).eval()
    back = plain()
    load_peft_adapter(back, folder)
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours(x), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(back(x), ours(x), atol=0, rtol=0)
    # Where peft looks at all groups, no grouped kernel does the same.
    peft_folder(tmp_path / 'dense', target_modules=['grouped'], r=4)
    with pytest.raises(ValueError, match='looks at all inputs'):
        load_peft_adapter(plain(), tmp_path / 'dense')


@pytest.mark.parametrize('kind', ['LoRA', 'DoRA'])
def test_parts_of_a_fused_qkv_in_peft(tmp_path, kind):
    peft = pytest.importorskip('peft', reason='asks peft itself')
    from stock_backbones import images_for, timm_vit

    torch.manual_seed(0)
    base = timm_vit().eval()
    ours = copy.deepcopy(base)
    options = dict(norm_dim='out') if kind == 'DoRA' else {}
    inject_adapters(
        ours,
        dict(type=kind, rank=2, alpha=3.0, **options),
        [dict(type=r'.*qkv\.q'), dict(type=r'.*qkv\.v', rank=3)],
    )
    for _, layer in named_adapters(ours):
        nn.init.normal_(layer.lora_B, std=0.3)
        if kind == 'DoRA':
            nn.init.uniform_(layer.magnitude, 0.5, 1.0)
    folder = write(tmp_path / 'a', *peft_adapter(ours))
    x = images_for('timm ViT')
    theirs = peft.PeftModel.from_pretrained(
        copy.deepcopy(base), str(folder)
    ).eval()
    back = copy.deepcopy(base)
    names = load_peft_adapter(back, folder)
    assert names == ['blocks.0.attn.qkv', 'blocks.1.attn.qkv']
    with torch.no_grad():
        wanted = ours.eval()(x)
        assert (wanted - base(x)).abs().max() > 1e-3
        torch.testing.assert_close(theirs(x), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(back(x), wanted, atol=1e-5, rtol=1e-4)
