"""Errors that were raised on purpose end in one line, bugs do not."""

import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmtpr.checkpoints.files import load_weights
from mmtpr.datasets import CUHKPEDES
from mmtpr.engine import launch
from mmtpr.models.adapters import WoRALinear
from mmtpr.registry import DATASETS, MODELS
from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.utils.errors import LaunchError, told_message


def caught(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError('nothing was raised')


TOLD = {
    'file': (lambda: load_weights('nowhere.pth'), '"nowhere.pth" does not'),
    'argument': (lambda: CUHKPEDES(split='trian'), "split='trian' of CUHKPE"),
    'value': (
        lambda: WoRALinear(torch.nn.Linear(2, 2), rank=0),
        'rank must be an int >= 1',
    ),
    'in a registry': (
        lambda: DATASETS.build(dict(type='mmtpr.CUHKPEDES', split='dev')),
        "split='dev' of CUHKPEDES must be one of",
    ),
    'unknown type': (
        lambda: MODELS.build(dict(type='mmtpr.Retriver')),
        'Retriver',
    ),
    'unknown argument': (
        lambda: MODELS.build(dict(type='mmtpr.SDMLoss', weigh=2)),
        "unexpected keyword argument 'weigh'",
    ),
    'no type': (lambda: MODELS.build(dict(a=1)), 'type'),
    'config': (lambda: Config.fromfile('nowhere.py'), 'nowhere.py'),
    'launch': (lambda: launch.require_checkpoint('a.pth'), 'No checkpoint'),
}


@pytest.mark.parametrize('case', TOLD)
def test_mistakes_of_users(case):
    call, words = TOLD[case]
    message = told_message(caught(call))
    assert message is not None
    assert words in message
    assert not message.startswith("'")


BUGS = {
    'division': lambda: 1 / 0,
    'attribute': lambda: CUHKPEDES.nothing,
    'torch': lambda: torch.ones(2) @ torch.ones(3),
    'called wrongly': lambda: load_weights(),
    'within mmtpr': lambda: WoRALinear(torch.nn.Linear(2, 2))('text'),
    'a raise elsewhere': lambda: exec('raise ValueError("mine")'),
}


@pytest.mark.parametrize('case', BUGS)
def test_bugs_keep_their_traceback(case):
    assert told_message(caught(BUGS[case])) is None


def test_interrupts_are_no_errors():
    assert told_message(KeyboardInterrupt()) is None


def test_errors_of_processes_that_load_data(tmp_path):
    class Broken(torch.utils.data.Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return load_weights(tmp_path / 'none.pth')

    loader = torch.utils.data.DataLoader(Broken(), num_workers=1)
    message = told_message(caught(lambda: list(loader)))
    assert message == f'The checkpoint "{tmp_path}/none.pth" does not exist.'


@pytest.mark.parametrize('rank', ['0', '1'])
def test_tools_end_with_one_line(rank, monkeypatch):
    monkeypatch.setenv('RANK', rank)
    monkeypatch.setattr(sys, 'argv', ['tool'])
    waits = []
    monkeypatch.setattr(launch.time, 'sleep', waits.append)
    with pytest.raises(SystemExit) as ended, launch.short_errors():
        load_weights('nowhere.pth')
    who = '' if rank == '0' else ' (process 1)'
    wanted = f'error{who}: The checkpoint "nowhere.pth" does not exist.'
    assert ended.value.code == wanted
    assert not waits
    with pytest.raises(SystemExit) as ended, launch.short_errors():
        raise LaunchError('of all processes')
    assert ended.value.code == f'error{who}: of all processes'
    # The first one may say it, and end the run, before the others do.
    assert len(waits) == (rank != '0')


@pytest.mark.dist
def test_what_one_process_alone_meets_is_said(tmp_path):
    """The other one waits for it, as in a collective, until it is ended."""
    script = tmp_path / 'script.py'
    script.write_text(
        'import os, time\n'
        'from mmtpr.engine import launch\n'
        'from mmtpr.utils.errors import LaunchError\n'
        'with launch.short_errors():\n'
        "    if os.environ['RANK'] == '1':\n"
        "        raise LaunchError('only here')\n"
        '    time.sleep(600)\n'
    )
    run = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    done = subprocess.run(
        [*run, '--nproc_per_node=2', script], capture_output=True, text=True
    )
    assert done.returncode
    assert 'error (process 1): only here' in done.stderr


def test_debug_and_bugs_show_all(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tool'])
    with pytest.raises(ZeroDivisionError), launch.short_errors():
        BUGS['division']()
    monkeypatch.setattr(sys, 'argv', ['tool', '--debug'])
    with pytest.raises(FileNotFoundError), launch.short_errors():
        load_weights('nowhere.pth')


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('train_dataloader.dataset.ann_file=no.json', 'no.json" does not exi'),
        ('model.losses.sdm.weigh=2', "unexpected keyword argument 'weigh'"),
        ('model.encoder.frozen=(1,)', 'frozen takes'),
    ],
)
def test_training_as_a_user_starts_it(repo_root, tmp_path, option, words):
    data = write_tiny_data(tmp_path / 'data')
    cfg = shrink_config(repo_root / 'configs/irra_cuhk.py', data)
    cfg.dump(str(tmp_path / 'config.py'))
    words_of = [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'w')]
    run = subprocess.run(
        [sys.executable, 'tools/train.py', *words_of, '--cfg-options', option],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert 'Traceback' not in run.stderr
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith('error: ')
    assert words in last
