"""Weights that would give wrong numbers, through the tools and the APIs."""

import importlib.util
import os
import pickle
import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.apis import PersonRetrievalInferencer
from mmtpr.engine import launch
from mmtpr.models.adapters import adapter_state_dict
from mmtpr.models.build import build_model
from mmtpr.registry import MODELS
from mmtpr.testing import (
    shrink_config,
    tiny_encoder_cfg,
    tiny_retriever_cfg,
    write_tiny_data,
)
from mmtpr.utils.errors import LaunchError

ROOT = Path(__file__).resolve().parents[2]


class Malicious:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ('touch owned',)


def html(path):
    path.write_text('<!DOCTYPE html><html>404</html>')


def lfs(path):
    path.write_text('version https://git-lfs.github.com/spec/v1\noid x\n')


def cut(size):
    def write(path):
        torch.save(dict(state_dict=dict(a=torch.ones(60000))), path)
        path.write_bytes(path.read_bytes()[:size])

    return write


def saved(content):
    return lambda path: torch.save(content, path)


DAMAGED = {
    'empty': (lambda path: path.write_bytes(b''), r'\(0 bytes\) is damaged'),
    'cut small': (cut(20_000), r'is damaged or no checkpoint'),
    'cut large': (cut(200_000), r'is damaged or no checkpoint'),
    'html': (html, 'is a web page; the download went wrong'),
    'lfs': (lfs, 'pointer of git-lfs; "git lfs pull" gets the file'),
    'list': (saved([torch.ones(2)]), r'no state dict.*found: list'),
    'tensor': (saved(torch.ones(2)), r'no state dict.*found: Tensor'),
    'numbers': (saved(dict(epoch=3)), r'no state dict.*found: epoch'),
    'malicious': (
        lambda path: path.write_bytes(pickle.dumps(Malicious())),
        r'cannot be loaded safely|is damaged or no checkpoint',
    ),
}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A small config of a run, and a checkpoint of its model."""
    folder = tmp_path_factory.mktemp('faults')
    data = write_tiny_data(folder / 'data')
    cfg = shrink_config(ROOT / 'configs/irra_cuhk.py', data)
    cfg.model = tiny_retriever_cfg(num_classes=20)
    cfg.work_dir = str(folder / 'work')
    cfg.log_level = 'WARNING'
    cfg.dump(str(folder / 'config.py'))
    torch.manual_seed(3)
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state, meta={}), folder / 'full.pth')
    return folder


@pytest.fixture
def tool(repo_root, monkeypatch):
    """Call a tool in this process; gives the sentence it ends with."""

    def call(name, *args):
        path = repo_root / 'tools' / f'{name}.py'
        spec = importlib.util.spec_from_file_location('_tool', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        monkeypatch.setenv('LOCAL_RANK', '0')
        with pytest.raises((SystemExit, LaunchError)) as error:
            module.main()
        return str(error.value)

    return call


@pytest.mark.parametrize('case', DAMAGED)
def test_damaged_files_are_told_alike(place, tool, tmp_path, case):
    """By the test, by load_from, by --resume and by the inferencer."""
    write, message = DAMAGED[case]
    path = tmp_path / 'epoch_1.pth'
    write(path)
    work = ('--work-dir', tmp_path / 'work')
    config = place / 'config.py'
    load = ('--cfg-options', f'load_from={path}')
    told = [
        tool('test', config, path, *work),
        tool('train', config, *work, *load),
        tool('train', config, *work, '--resume', path),
    ]
    with pytest.raises(LaunchError) as error:
        build_model(Config.fromfile(config), str(path), 'cpu')
    told.append(str(error.value))
    for text in told:
        assert re.search(message, text, re.S), text
        assert 'weights_only=False' not in text
        assert str(path) in text
    assert not os.path.exists('owned')


def test_another_family_is_named(place, tool, tmp_path):
    """IRRA's weights in an entry "model", OpenAI's names, DDP's prefix."""
    irra = {'base_model.visual.proj': torch.ones(2)}
    openai = {
        'visual.proj': torch.ones(2),
        'token_embedding.weight': torch.ones(2),
        'text_projection': torch.ones(2),
    }
    for content, name in (
        (dict(model=irra), 'IRRA or Word4Per, which tools/model_conv'),
        (openai, 'OpenAI CLIP, which tools/model_converters/openai'),
    ):
        path = tmp_path / 'other.pth'
        torch.save(content, path)
        work = ('--work-dir', tmp_path / 'work')
        load = ('--cfg-options', f'load_from={path}')
        for text in (
            tool('test', place / 'config.py', path, *work),
            tool('train', place / 'config.py', *work, *load),
            tool('train', place / 'config.py', *work, '--resume', path),
        ):
            assert f'It is a checkpoint of {name}' in text
    state = torch.load(place / 'full.pth', weights_only=True)['state_dict']
    wrapped = {f'module.{key}': value for key, value in state.items()}
    torch.save(dict(model=wrapped), tmp_path / 'ddp.pth')
    cfg = Config.fromfile(place / 'config.py')
    build_model(cfg, str(tmp_path / 'ddp.pth'), 'cpu')


def runner_of(place, tmp_path, **kwargs):
    cfg = Config.fromfile(place / 'config.py')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.log_level = 'INFO'
    cfg.experiment_name = tmp_path.name
    cfg.merge_from_dict(kwargs)
    launch.require_fit(cfg)
    launch.read_checkpoints_safely()
    return Runner.from_cfg(cfg)


def test_load_from_counts_what_fits(place, tmp_path):
    state = torch.load(place / 'full.pth', weights_only=True)['state_dict']
    less = {k: v for k, v in state.items() if '.visual.' not in k}
    less['extra'] = torch.ones(1)
    less['losses.id.classifier.weight'] = torch.ones(3, 32)
    torch.save(less, tmp_path / 'part.pth')
    runner = runner_of(place, tmp_path, load_from=str(tmp_path / 'part.pth'))
    runner.load_or_resume()
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    (line,) = [x for x in log.splitlines() if 'weights of the model come' in x]
    assert 'WARNING' in line
    count = len(state) - len([k for k in state if '.visual.' in k]) - 1
    assert f'{count} of {len(state)} weights' in line
    assert '1 unexpected key (extra)' in line
    assert '1 mismatched key (losses.id.classifier.weight (3, 32) ' in line


def test_load_from_of_which_nothing_fits_stops(place, tmp_path):
    torch.save(dict(a=torch.ones(1)), tmp_path / 'none.pth')
    runner = runner_of(place, tmp_path, load_from=str(tmp_path / 'none.pth'))
    with pytest.raises(LaunchError, match='none of its 1 keys does, so the'):
        runner.load_or_resume()


def test_resuming_from_another_model_says_so(place, tmp_path):
    cfg = Config.fromfile(place / 'config.py')
    cfg.model.losses.pop('id')
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'other.pth')
    runner = runner_of(
        place, tmp_path, load_from=str(tmp_path / 'other.pth'), resume=True
    )
    with pytest.raises(LaunchError, match=r'missing key.*goes on with the ru'):
        runner.load_or_resume()


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
    with pytest.raises(LaunchError, match='trained with quick_gelu=True, but'):
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
