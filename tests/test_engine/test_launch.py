import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmtpr.engine import launch, leftover_options
from mmtpr.utils.errors import LaunchError, NonFiniteLossError

ROOT = Path(__file__).resolve().parents[2]


def test_config_options_and_near_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'configs/wora_toy.py'
    path.parent.mkdir()
    path.write_text('a = dict(b=1)\n')
    cfg = launch.load_config(str(path), {'a.b': 2, 'load_from': 'x'})
    assert (cfg.a.b, cfg.load_from) == (2, 'x')
    monkeypatch.chdir('/')
    assert launch.load_config('configs/wora_toy.py', root=tmp_path).a.b == 1
    with pytest.raises(LaunchError, match=r'there is: wora_toy\.py\.$'):
        launch.load_config('configs/wora_tpy.py', root=tmp_path)
    with pytest.raises(LaunchError, match=r'"none/x\.py" does not exist\.$'):
        launch.load_config('none/x.py')


def test_work_dir_from_the_nearest_source():
    cfg = Config(dict(work_dir='from_config'))
    launch.set_work_dir(cfg, None, 'configs/a.py')
    assert cfg.work_dir == 'from_config'
    launch.set_work_dir(cfg, 'from_line', 'configs/a.py')
    assert cfg.work_dir == 'from_line'
    cfg = Config(dict())
    launch.set_work_dir(cfg, None, 'configs/a.py')
    assert cfg.work_dir == 'work_dirs/a'


def test_amp_types(monkeypatch):
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    with pytest.raises(LaunchError, match='needs a GPU'):
        launch.enable_amp(Config(dict(optim_wrapper=dict())))
    monkeypatch.setattr(launch, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    native = True
    monkeypatch.setattr(
        torch.cuda, 'is_bf16_supported', lambda including_emulation: native
    )
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', clip_grad=None)))
    launch.enable_amp(cfg)
    assert cfg.optim_wrapper == dict(
        type='AmpOptimWrapper',
        clip_grad=None,
        dtype='bfloat16',
        loss_scale=dict(enabled=False),
    )
    native = False
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper'), val_cfg={}))
    launch.enable_amp(cfg)
    assert cfg.val_cfg == dict(fp16=True)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', dtype='float16')
    cfg = Config(dict(optim_wrapper=dict(type='ApexOptimWrapper')))
    with pytest.raises(LaunchError, match='the config has "ApexOptimWrapper"'):
        launch.enable_amp(cfg)


def test_tf32_by_config_and_command_line():
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    mkldnn = getattr(torch.backends.mkldnn, 'matmul', None)
    of_the_cpu = getattr(mkldnn, 'fp32_precision', None)
    try:
        for switch in switches:
            switch.allow_tf32 = False
        for config, line, wanted in (
            (dict(tf32=True), None, True),
            (dict(tf32=True), False, False),
            (dict(), None, False),  # as it was
            (dict(), True, True),
        ):
            launch.set_tf32(Config(dict(env_cfg=config)), line)
            assert [s.allow_tf32 for s in switches] == [wanted] * 2
        # What the CPU computes is none of its business.
        assert getattr(mkldnn, 'fp32_precision', None) == of_the_cpu
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def test_options_of_workers_go_where_there_are_none():
    loader = dict(num_workers=0, prefetch_factor=2, persistent_workers=True)
    cfg = Config(
        dict(
            train_dataloader=loader,
            val_dataloader=dict(loader, num_workers=1),
            test_dataloader=dict(prefetch_factor=2),  # none is the default
        )
    )
    launch.tidy(cfg)
    assert cfg.train_dataloader == dict(num_workers=0)
    assert cfg.test_dataloader == dict()
    assert cfg.val_dataloader == dict(loader, num_workers=1)


def test_auto_scale_lr_needs_a_base():
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=64)))
    launch.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr == dict(base_batch_size=64, enable=True)
    for lacking in (dict(), dict(auto_scale_lr=None)):
        with pytest.raises(LaunchError, match='base_batch_size'):
            launch.enable_auto_scale_lr(Config(lacking))


def test_tidy(monkeypatch):
    cfg = Config(
        dict(
            default_hooks=dict(timer=None, finite_loss=None, x=dict(a=1)),
            visualizer=dict(
                vis_backends=[
                    dict(type='LocalVisBackend'),
                    dict(type='TensorboardVisBackend'),
                ]
            ),
        )
    )
    launch.tidy(cfg)
    # mmengine itself drops its standard hooks, and only those
    assert cfg.default_hooks == dict(timer=None, x=dict(a=1))
    assert len(cfg.visualizer.vis_backends) == 2
    monkeypatch.setattr(leftover_options, 'find_spec', lambda name: None)
    launch.tidy(cfg)
    assert cfg.visualizer.vis_backends == [dict(type='LocalVisBackend')]
    launch.tidy(Config(dict()))


def test_short_errors(monkeypatch):
    monkeypatch.setenv('RANK', '0')
    with pytest.raises(SystemExit, match='error: oh'), launch.short_errors():
        raise LaunchError('oh')
    monkeypatch.setenv('RANK', '1')
    with pytest.raises(SystemExit) as error, launch.short_errors():
        raise NonFiniteLossError('nan')
    assert error.value.code == 1
    with pytest.raises(KeyError), launch.short_errors():
        raise KeyError('a real error keeps its traceback')


def test_tools_in_an_installed_copy(tmp_path):
    """``mmtpr/.mim`` of a wheel: tools and configs without the package."""
    mim = tmp_path / 'site/mmtpr_copy/.mim'
    for name in ('tools', 'configs'):
        shutil.copytree(ROOT / name, mim / name)
    done = subprocess.run(
        [
            sys.executable,
            str(mim / 'tools/analysis/print_config.py'),
            'configs/wora_cuhk.py',
            *('--cfg-options', 'train_dataloader.batch_size=7'),
        ],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "type='mmtpr.WoRAModel'" in done.stdout
    assert 'batch_size=7' in done.stdout


@pytest.mark.parametrize(
    ('processes', 'batch', 'steps', 'factor'),
    [(1, 64, 1, 1.0), (1, 16, 4, 1.0), (2, 16, 4, 2.0), (1, 32, 3, 1.5)],
)
def test_auto_scale_counts_accumulation(
    processes, batch, steps, factor, monkeypatch
):
    told = []
    monkeypatch.setattr(launch, 'print_log', lambda x, **_: told.append(x))
    monkeypatch.setenv('WORLD_SIZE', str(processes))
    cfg = Config(
        dict(
            auto_scale_lr=dict(base_batch_size=64),
            train_dataloader=dict(batch_size=batch),
            optim_wrapper=dict(type='OptimWrapper', accumulative_counts=steps),
        )
    )
    launch.enable_auto_scale_lr(cfg)
    # What mmengine computes from it.
    base = cfg.auto_scale_lr.base_batch_size
    assert processes * batch / base == pytest.approx(factor)
    assert f'multiplied by {factor:g}: {processes} processes' in told[0]


@pytest.mark.parametrize('scheme', ['http', 's3'])
def test_checkpoints_that_cannot_be_downloaded(scheme):
    launch.read_checkpoints_safely()
    launch.read_checkpoints_safely()  # once more wraps nothing twice
    load = launch.CheckpointLoader.load_checkpoint
    path = f'{scheme}://127.0.0.1:9/x.pth'
    match = f'"{path}" cannot be downloaded: .* Give the path of a file'
    with pytest.raises(LaunchError, match=match):
        load(path, 'cpu', None)
