"""Adapters exported for peft give the same outputs in peft itself."""

import copy
import json

import pytest
import torch
from peft_cases import peft_applies_out_proj_twice
from torch import nn

from mmtpr.models.adapters import (
    AdapterModel,
    inject_adapters,
    named_adapters,
    peft_adapter,
    remove_adapters,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg

MLP = [dict(type=r'clip\..*\.mlp\.c_(fc|proj)')]


def adapted(kind, targets=MLP, **options):
    """A tiny encoder with random adapters, and what it was before."""
    torch.manual_seed(0)
    plain = MODELS.build(tiny_encoder_cfg())
    model = AdapterModel(
        copy.deepcopy(plain), dict(type=kind, **options), targets
    )
    for _, layer in named_adapters(model):
        for name in layer.trained:
            value = getattr(layer, name)
            nn.init.normal_(value, value.mean().item(), 0.1)
    return plain.eval(), model.eval()


def write(folder, config, state):
    save_file = pytest.importorskip('safetensors.torch').save_file
    folder.mkdir()
    save_file(state, folder / 'adapter_model.safetensors')
    (folder / 'adapter_config.json').write_text(json.dumps(config))
    return folder


def in_peft(plain, folder):
    peft = pytest.importorskip(
        'peft', reason='the check of exported adapters needs peft'
    )
    return peft.PeftModel.from_pretrained(plain, str(folder)).eval()


def check_same(ours, plain, folder, part='clip'):
    """peft around the plain model gives the adapted model's features."""
    torch.manual_seed(1)
    images = torch.randn(2, 3, *ours.image_size)
    tokens = torch.randint(1, 400, (2, ours.context_length))
    with torch.no_grad():
        wanted = ours(images, tokens)
        before = plain(images, tokens)
        wrapped = in_peft(getattr(plain, part) if part else plain, folder)
        if part:
            setattr(plain, part, wrapped.base_model.model)
        got = plain(images, tokens)
    for a, b, c in zip(wanted, got, before, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert (a - c).abs().max() > 1e-3
    return wrapped


def test_lora_of_linear_layers(tmp_path):
    plain, model = adapted('LoRA', rank=3, alpha=6.0)
    config, state = peft_adapter(model, 'clip')
    assert (config['r'], config['lora_alpha']) == (3, 6.0)
    assert not config['use_dora']
    assert config['rank_pattern'] == {}
    assert len(state) == 2 * 8
    wrapped = check_same(model, plain, write(tmp_path / 'a', config, state))
    adapter_keys = [k for k in wrapped.state_dict() if 'lora_' in k]
    assert len(adapter_keys) == len(state)


def test_layers_of_different_rank_and_alpha(tmp_path):
    # The text tower's names are endings of the image tower's.
    targets = [
        dict(type=r'clip\.transformer\..*\.mlp\.c_fc', rank=2, alpha=1.0),
        dict(type=r'clip\.visual\..*\.mlp\.c_fc', rank=4, alpha=9.0),
    ]
    plain, model = adapted('LoRA', targets)
    config, state = peft_adapter(model, 'clip')
    assert len(config['rank_pattern']) == len(config['alpha_pattern']) == 2
    check_same(model, plain, write(tmp_path / 'a', config, state))


@pytest.mark.parametrize('kind', ['DoRA', 'WoRA'])
def test_magnitudes_of_output_features(tmp_path, kind):
    plain, model = adapted(
        kind, rank=2, alpha=3.0, beta=0.7, norm_dim='out', dropout=0.1
    )
    config, state = peft_adapter(model)
    assert config['use_dora']
    assert config['lora_dropout'] == pytest.approx(0.1)
    assert len(state) == 3 * 8
    check_same(model, plain, write(tmp_path / 'a', config, state), part='')


@pytest.mark.parametrize(
    'layers', ['(q|k|v|out_proj)', '(q|v)', 'out_proj', 'k']
)
def test_fused_attention(tmp_path, layers):
    twice = peft_applies_out_proj_twice() if 'out' in layers else None
    targets = [
        dict(type=rf'clip\.visual\..*\.attn\.{layers}', rank=2),
        dict(type=r'clip\..*\.mlp\.c_fc', rank=3),
        dict(type=r'clip\.transformer\..*\.attn\.q', rank=1),
    ]
    plain, model = adapted('LoRA', targets, alpha=4.0)
    config, state = peft_adapter(model, 'clip', twice)
    check_same(model, plain, write(tmp_path / 'a', config, state))


def test_the_fault_of_peft_must_be_named():
    targets = [dict(type=r'clip\.visual\..*\.attn\.out_proj', rank=2)]
    _, model = adapted('LoRA', targets)
    with pytest.raises(ValueError, match=r'peft#3774.*--out-proj twice'):
        peft_adapter(model)
    once, twice = (peft_adapter(model, '', flag)[1] for flag in (False, True))
    changed = [k for k in once if not torch.equal(once[k], twice[k])]
    assert len(changed) == 2
    for key in changed:
        assert key.endswith('attn.base_layer.out_proj.lora_B.weight')
        torch.testing.assert_close(once[key], 2 * twice[key])


def test_what_peft_has_not_is_refused():
    _, model = adapted('WoRA', rank=2)
    with pytest.raises(ValueError, match=r'c_fc" has one magnitude an input'):
        peft_adapter(model)
    attention = [dict(type=r'clip\.visual\..*\.attn\.q')]
    _, model = adapted('DoRA', attention, rank=2, norm_dim='out')
    with pytest.raises(ValueError, match='only LoRA there'):
        peft_adapter(model)
    _, model = adapted('LoRA', rank=2)
    with pytest.raises(ValueError, match=r'is not inside "clip\.visual"'):
        peft_adapter(model, 'clip.visual')
    with pytest.raises(ValueError, match='no adapters'):
        peft_adapter(nn.Linear(2, 2))
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    inject_adapters(mixed, dict(type='LoRA', rank=1), [dict(type='0')])
    inject_adapters(
        mixed, dict(type='DoRA', rank=1, norm_dim='out'), [dict(type='1')]
    )
    with pytest.raises(ValueError, match='either LoRA or DoRA'):
        peft_adapter(mixed)


def test_names_are_those_of_the_model_without_wrappers():
    cfg = tiny_retriever_cfg(
        encoder=dict(
            type='mmtpr.AdapterModel',
            adapter=dict(type='LoRA', rank=2),
            module=tiny_encoder_cfg(),
            targets=MLP,
        )
    )
    model = MODELS.build(cfg)
    _, state = peft_adapter(model)
    prefix = 'base_model.model.'
    names = {k.removeprefix(prefix).rsplit('.', 2)[0] for k in state}
    plain = MODELS.build(tiny_retriever_cfg())
    assert names < {name for name, _ in plain.named_modules()}
    assert set(peft_adapter(model, 'encoder.clip')[1]) == {
        k.replace('encoder.clip.', '') for k in state
    }


@pytest.mark.parametrize('merged', [False, True])
def test_adapters_are_removed(merged):
    targets = [*MLP, dict(type=r'clip\..*\.attn\.(q|out_proj)')]
    plain, model = adapted('WoRA', targets, rank=2)
    if merged:
        for _, layer in named_adapters(model):
            layer.merge()
    bare = remove_adapters(model)
    assert type(bare) is type(plain)
    state = bare.state_dict()
    assert list(state) == list(plain.state_dict())
    for name, value in plain.state_dict().items():
        assert torch.equal(state[name], value), name
