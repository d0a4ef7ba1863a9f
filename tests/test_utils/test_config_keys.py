"""Misspelt keys of configs and command lines."""

import pytest
from mmengine.config import Config

from mmtpr.engine import launch
from mmtpr.utils import config_keys
from mmtpr.utils.config_keys import check_config_keys, check_option_roots
from mmtpr.utils.errors import LaunchError

CONFIG = dict(
    model=dict(type='A'),
    max_epochs=60,
    cuhk_root='data',
    train_pipeline=[],
    val_pipeline=[],
    test_pipeline=[],
    encoder=dict(),
)


@pytest.mark.parametrize(
    ('option', 'near'),
    [
        ('optim_wraper.optimizer.lr', 'optim_wrapper'),
        ('train_dataloder.batch_size', 'train_dataloader'),
        ('modle.encoder', 'model'),
        ('custom_hook', 'custom_hooks'),
        ('max_epoch', 'max_epochs'),
        ('load_form', 'load_from'),
    ],
)
def test_options_that_nothing_reads(option, near):
    match = f'--cfg-options {option}: there is no .* meant: {near}'
    with pytest.raises(LaunchError, match=match):
        check_option_roots([option], CONFIG)


def test_options_of_the_runner_need_not_be_in_the_config():
    known = ('randomness.seed', 'val_cfg', 'load_from', 'auto_scale_lr.enable')
    check_option_roots(known, CONFIG)


def test_overriding_a_variable_changes_nothing(monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmtpr.utils.config_keys.print_log',
        lambda line, **_: told.append(line),
    )
    check_option_roots(['max_epochs', 'model.type', 'cuhk_root'], CONFIG)
    assert len(told) == 2
    assert '"max_epochs" is a variable of the config file' in told[0]
    assert 'Override the keys that it went into' in told[1]


@pytest.mark.parametrize(
    'name', ['train_dataloder', 'optim_wraper', 'parm_scheduler', 'testcfg']
)
def test_keys_of_a_config_that_are_misspelt(name):
    with pytest.raises(LaunchError, match=f'has "{name}", which nothing'):
        check_config_keys({**CONFIG, name: dict(a=1)})


@pytest.mark.parametrize(
    'name',
    ['train_dataloader_a', 'val_dataloader2', 'models', 'work_dirs', 'heads'],
)
def test_variables_of_ones_own(name, monkeypatch):
    said = warnings_of({**CONFIG, name: dict(a=1)}, monkeypatch)
    assert len(said) == (name != 'heads')  # said where it is like a key
    used = dict(model=dict(type='A', part=dict(a=1, b=2)))
    assert warnings_of({**CONFIG, **used, name: dict(a=1)}, monkeypatch) == []


def test_a_variable_that_is_like_a_key_and_used():
    hook = dict(type='EMAHook')
    check_config_keys({**CONFIG, 'custom_hook': hook, 'custom_hooks': [hook]})


def test_every_config_passes(repo_root):
    for path in sorted((repo_root / 'configs').glob('*.py')):
        check_config_keys(Config.fromfile(path))


def test_tools_check_both(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('model = dict(type="A")\n')
    with pytest.raises(LaunchError, match='there is no "mod_el"'):
        launch.load_config(str(path), {'mod_el.type': 'B'})
    path.write_text('model = dict(type="A")\nval_dataloder = dict()\n')
    with pytest.raises(LaunchError, match='meant: "val_dataloader"'):
        launch.load_config(str(path))


@pytest.mark.parametrize(
    ('part', 'match'),
    [
        (dict(env_cfg=dict(cudnn_benchmrk=True)), 'env_cfg.*cudnn_benchmrk'),
        (dict(auto_scale_lr=dict(base_batchsize=8)), 'it may hold enable, ba'),
    ],
)
def test_keys_inside_keys(part, match):
    with pytest.raises(LaunchError, match=match):
        check_config_keys({**CONFIG, **part})


def warnings_of(cfg, monkeypatch):
    said = []
    monkeypatch.setattr(
        config_keys, 'warn', lambda line, **_: said.append(line)
    )
    check_config_keys(cfg)
    return said


@pytest.mark.parametrize(
    ('name', 'value', 'now'),
    [
        ('optimizer', dict(type='SGD', lr=1), 'optim_wrapper.optimizer'),
        ('lr_config', dict(policy='step'), 'param_scheduler'),
        ('total_epochs', 12, 'train_cfg.max_epochs'),
        ('data', dict(samples_per_gpu=2), 'train_dataloader'),
    ],
)
def test_keys_of_mmcv_1(name, value, now, monkeypatch):
    (line,) = warnings_of({**CONFIG, name: value}, monkeypatch)
    assert line.startswith(f'The config has "{name}", which nothing reads')
    assert now in line


def test_variables_with_names_of_mmcv_1(monkeypatch):
    optimizer = dict(type='AdamW', lr=1e-3)
    cfg = dict(
        optimizer=optimizer,
        # Merged with a base.
        optim_wrapper=dict(optimizer={**optimizer, 'eps': 1e-3}),
        seed=3,
        randomness=dict(seed=4),
    )
    assert warnings_of({**CONFIG, **cfg}, monkeypatch) == []
