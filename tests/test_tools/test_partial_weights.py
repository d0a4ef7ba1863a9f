"""Checkpoints that hold a part of a model, or need no file of weights."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from weights_case import place, tool  # noqa: F401

from mmtpr.apis import PersonRetrievalInferencer
from mmtpr.models.adapters import adapter_state_dict
from mmtpr.models.build import build_model
from mmtpr.registry import MODELS
from mmtpr.testing import (
    tiny_encoder_cfg,
)
from mmtpr.utils.errors import LaunchError

ROOT = Path(__file__).resolve().parents[2]


def test_no_checkpoint_and_no_pretrained_stops(place, tool, tmp_path):
    cfg = Config.fromfile(place / 'config.py')
    with pytest.raises(LaunchError, match=r'No checkpoint was given.*random'):
        build_model(cfg, None, 'cpu')
    with pytest.raises(LaunchError, match=r'would be random'):
        PersonRetrievalInferencer(cfg, gallery=str(place / 'data/imgs'))
    text = tool(
        'filtering/score_relevance',
        *(place / 'config.py', '--bank', place / 'config.py'),
        *('--bank-size', '5', '--out', tmp_path / 'scores.npz'),
        *('--dataset', 'train_dataloader.dataset'),
    )
    assert 'would be random' in text


@pytest.fixture(scope='module')
def adapted(place):
    """A config with adapters and trained norms over pretrained weights."""
    torch.manual_seed(1)
    plain = MODELS.build(tiny_encoder_cfg())
    torch.save(plain.clip.state_dict(), place / 'clip.pth')
    cfg = Config.fromfile(place / 'config.py')
    cfg.model.encoder = dict(
        type='mmtpr.WoRAModel',
        module=dict(tiny_encoder_cfg(), pretrained=str(place / 'clip.pth')),
        rank=2,
        targets=[dict(type=r'clip\.visual\..*\.mlp\.c_fc')],
        trainable=[r'clip\.visual\.ln_post\..*'],
    )
    cfg.dump(str(place / 'adapted.py'))
    model = MODELS.build(cfg.model)
    meta = dict(
        lacks=dict(count=2, keys=['encoder.module.clip.ln_final.bias'])
    )
    file = dict(state_dict=adapter_state_dict(model), meta=meta)
    torch.save(file, place / 'adapters.pth')
    torch.save(dict(state_dict=model.state_dict()), place / 'whole.pth')
    return place


def test_adapters_alone_stop_everywhere(adapted, tool, tmp_path):
    config, file = adapted / 'adapted.py', adapted / 'adapters.pth'
    cfg = Config.fromfile(config)
    told = [
        tool('test', config, file, '--work-dir', tmp_path / 'work'),
        tool(
            'model_converters/merge_adapters', config, file, tmp_path / 'm.pth'
        ),
        tool('model_converters/export_peft', config, file, tmp_path / 'peft'),
        tool(
            'filtering/score_relevance',
            *(config, file, '--bank', config, '--bank-size', '5'),
            *('--out', tmp_path / 'scores.npz'),
        ),
    ]
    with pytest.raises(LaunchError) as error:
        PersonRetrievalInferencer(
            cfg, str(file), gallery=str(adapted / 'data/imgs')
        )
    for text in [*told, str(error.value)]:
        assert 'adapters.pth" lacks weights that were trained with it' in text
        assert '--allow-partial' in text
    assert not (tmp_path / 'm.pth').exists()
    found = PersonRetrievalInferencer(
        cfg,
        str(file),
        gallery=str(adapted / 'data/imgs'),
        allow_partial=True,
    )
    assert found('a man', topk=1)['predictions'][0]['paths']


def test_a_full_checkpoint_needs_no_pretrained_file(adapted):
    cfg = Config.fromfile(adapted / 'adapted.py')
    with_file = build_model(cfg, str(adapted / 'whole.pth'), 'cpu')
    cfg.model.encoder.module.pretrained = 'moved/away.pth'
    # Neither config nor checkpoint tells the activation: the file decides.
    with pytest.raises(ValueError, match=r'moved/away\.pth'):
        build_model(cfg, str(adapted / 'whole.pth'), 'cpu')
    cfg.model.encoder.module.quick_gelu = False
    without = build_model(cfg, str(adapted / 'whole.pth'), 'cpu')
    for key, value in with_file.state_dict().items():
        assert torch.equal(without.state_dict()[key], value)


def test_the_activation_travels_with_a_checkpoint(adapted, tmp_path):
    whole = torch.load(adapted / 'whole.pth', weights_only=True)
    whole['meta'] = dict(
        function_facts=dict(encoder=dict(quick_gelu=True, context_length=None))
    )
    torch.save(whole, tmp_path / 'quick.pth')
    cfg = Config.fromfile(adapted / 'adapted.py')
    cfg.model.encoder.module.pretrained = 'moved/away.pth'
    model = build_model(cfg, str(tmp_path / 'quick.pth'), 'cpu')
    facts = model.encoder.module.function_facts()
    assert facts['quick_gelu'] is True
    cfg.model.encoder.module.quick_gelu = False
    with pytest.raises(
        LaunchError, match='trained with encoder quick_gelu=True, but'
    ):
        build_model(cfg, str(tmp_path / 'quick.pth'), 'cpu')


def test_merged_checkpoints_need_no_pretrained_size(
    adapted, repo_root, monkeypatch, tmp_path
):
    """Positions of 64 x 32 were resized to 96 x 64 before the training."""
    cfg = Config.fromfile(adapted / 'adapted.py')
    module = cfg.model.encoder.module
    module.update(image_size=(96, 64), pretrained_size=(64, 32))
    cfg.dump(str(tmp_path / 'wide.py'))
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'wide.pth')
    path = repo_root / 'tools/model_converters/merge_adapters.py'
    spec = importlib.util.spec_from_file_location('_merge', path)
    merge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(merge)
    names = ('wide.py', 'wide.pth', 'merged.pth')
    argv = ['merge', *(str(tmp_path / name) for name in names)]
    monkeypatch.setattr(sys, 'argv', argv)
    merge.main()
    plain = Config.fromfile(adapted / 'config.py')
    plain.model.encoder = dict(
        tiny_encoder_cfg(),
        image_size=(96, 64),
        pretrained=str(adapted / 'clip.pth'),
    )
    with pytest.raises(ValueError, match='pretrained_size'):
        MODELS.build(plain.model)
    model = build_model(plain, str(tmp_path / 'merged.pth'), 'cpu')
    assert model.encoder.image_size == (96, 64)


def test_a_tool_never_writes_over_what_it_reads(adapted, tool, tmp_path):
    config, file = adapted / 'adapted.py', adapted / 'whole.pth'
    before = file.read_bytes()
    for options in ((), ('--overwrite',)):
        text = tool(
            'model_converters/merge_adapters', config, file, file, *options
        )
        assert 'is read and would be written over' in text
    other = tmp_path / 'there.pth'
    other.write_bytes(b'mine')
    text = tool('model_converters/merge_adapters', config, file, other)
    assert 'exists already; --overwrite replaces it' in text
    assert file.read_bytes() == before
    assert other.read_bytes() == b'mine'
