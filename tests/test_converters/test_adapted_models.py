"""Models with adapters: no weight below an adapter is left random."""

import importlib.util
import sys

import pytest
import torch
from torch import nn

from mmtpr.checkpoints.base_weights import brought_by
from mmtpr.converters.adapted_models import load_adapted
from mmtpr.models.adapters import (
    adapter_state_dict,
    named_adapters,
    trainable_state_dict,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg

NORM = 'encoder.module.clip.visual.ln_post.weight'
FROZEN = 'encoder.module.clip.token_embedding.weight'


def write_config(path, load_from=None, **encoder):
    cfg = tiny_retriever_cfg(
        encoder=dict(
            type='mmtpr.AdapterModel',
            adapter=dict(type='LoRA', rank=2),
            module=dict(tiny_encoder_cfg(), **encoder),
            targets=[dict(type=r'clip\.visual\..*\.mlp\..*')],
            trainable=[r'clip\.visual\.ln_post'],
        )
    )
    path.write_text(
        f'default_scope = "mmtpr"\nmodel = {cfg!r}\n'
        f'load_from = {load_from and str(load_from)!r}\n'
    )
    return cfg


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A model that was trained on a plain encoder, and its checkpoints."""
    folder = tmp_path_factory.mktemp('adapted')
    torch.manual_seed(0)
    plain = MODELS.build(tiny_retriever_cfg())
    torch.save(dict(state_dict=plain.state_dict()), folder / 'plain.pth')
    write_config(folder / 'bare.py')
    model = MODELS.build(
        write_config(folder / 'rich.py', pretrained=str(folder / 'plain.pth'))
    )
    for _, layer in named_adapters(model):
        nn.init.normal_(layer.lora_B, std=0.1)
    full = model.state_dict()
    gaps = {k: v for k, v in full.items() if k not in (NORM, FROZEN)}
    for name, state in dict(
        full=full,
        gaps=gaps,
        tuned=trainable_state_dict(model),
        adapters=adapter_state_dict(model),
    ).items():
        torch.save(dict(state_dict=state), folder / f'{name}.pth')
    write_config(folder / 'start.py', load_from=folder / 'full.pth')
    write_config(folder / 'lost.py', load_from=folder / 'lost.pth')
    return folder


def load(folder, config, checkpoint, **kwargs):
    return load_adapted(
        str(folder / f'{config}.py'),
        str(folder / f'{checkpoint}.pth'),
        **kwargs,
    )


@pytest.mark.parametrize(
    ('config', 'checkpoint', 'load_from', 'lacking'),
    [
        ('bare', 'full', None, False),
        ('rich', 'tuned', None, True),
        ('rich', 'adapters', None, True),
        ('start', 'tuned', None, True),
        ('bare', 'tuned', 'full.pth', True),
        ('lost', 'tuned', 'full.pth', True),
        ('bare', 'gaps', 'full.pth', True),
    ],
)
def test_all_weights_are_those_of_the_training(
    folder, config, checkpoint, load_from, lacking
):
    torch.manual_seed(5)
    model, missing = load(
        *(folder, config, checkpoint),
        load_from=load_from and str(folder / load_from),
    )
    assert bool(missing) is lacking
    wanted = torch.load(folder / 'full.pth', weights_only=True)['state_dict']
    own = model.state_dict()
    assert set(own) == set(wanted)
    # Heads of losses are with the adapters only where they train with them.
    heads = checkpoint == 'adapters'
    for key, value in own.items():
        if not (heads and key.startswith('losses.')):
            assert torch.equal(value, wanted[key]), key


@pytest.mark.parametrize(
    ('config', 'checkpoint', 'load_from', 'message'),
    [
        ('bare', 'tuned', None, r'lacks \d+ weights .* would be random'),
        ('bare', 'adapters', None, r'lacks \d+ weights .* would be random'),
        ('bare', 'gaps', None, r'2 weights \(e\.g\. .* not whole'),
        # Neither are those of the start the weights of a trained model.
        ('rich', 'gaps', None, r'2 weights \(e\.g\. .* not whole'),
        ('start', 'gaps', None, r'2 weights \(e\.g\. .* not whole'),
        # Names without adapters: that is for pretrained.
        ('bare', 'tuned', 'plain.pth', r'lacks \d+ weights'),
    ],
)
def test_random_weights_stop(folder, config, checkpoint, load_from, message):
    with pytest.raises(ValueError, match=message):
        load(
            *(folder, config, checkpoint),
            load_from=load_from and str(folder / load_from),
        )


def test_a_start_that_is_gone_stops(folder):
    with pytest.raises(FileNotFoundError, match=r'lost\.pth" \(load_from\)'):
        load(folder, 'lost', 'tuned')


def test_what_a_config_brings():
    cfg = dict(
        encoder=dict(
            module=dict(image_pretrained='swin.pth', text_pretrained='bert')
        ),
        neck=[dict(init_cfg=None), dict(pretrained=None)],
        head=dict(init_cfg=[dict(type='Pretrained', checkpoint='head.pth')]),
        other=dict(init_cfg=dict(type='Normal')),
    )
    patterns = list(brought_by(cfg))
    bert = 'encoder.module.bert.bert.encoder.layer.1.'
    names = {
        'encoder.module.vision.norm3.weight': True,
        bert + 'attention.self.key.bias': True,
        bert + 'crossattention.self.key.bias': False,
        'encoder.module.itm_head.0.weight': False,
        'neck.1.weight': False,
        'head.weight': True,
        'other.weight': False,
    }
    for name, brought in names.items():
        assert any(p.fullmatch(name) for p in patterns) is brought, name


@pytest.mark.parametrize('tool', ['merge_adapters', 'export_peft'])
def test_the_tools(tool, folder, repo_root, monkeypatch, tmp_path, capsys):
    path = repo_root / f'tools/model_converters/{tool}.py'
    spec = importlib.util.spec_from_file_location(f'_adapted_{tool}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out, base = tmp_path / 'out', tmp_path / 'base.pth'
    arguments = [tool, folder / 'bare.py', folder / 'tuned.pth', out]
    if tool == 'export_peft':
        arguments += ['--root', 'encoder.clip', '--base', base]
    monkeypatch.setattr(sys, 'argv', list(map(str, arguments)))
    with pytest.raises(ValueError, match='would be random'):
        module.main()
    assert not out.exists()
    assert not base.exists()
    arguments += ['--load-from', folder / 'full.pth']
    monkeypatch.setattr(sys, 'argv', list(map(str, arguments)))
    module.main()
    assert 'load_from' in capsys.readouterr().out
    assert out.exists()
