"""Weights that would give wrong numbers, through the tools and the APIs."""

import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from weights_case import place, tool  # noqa: F401

from mmtpr.engine import launch
from mmtpr.models.build import build_model
from mmtpr.registry import MODELS
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
