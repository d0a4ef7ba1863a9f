"""Names of configs that nothing reads."""

import re
from pathlib import Path

import pytest

from mmtpr.utils import config_keys
from mmtpr.utils.config_file import read_config
from mmtpr.utils.errors import LaunchError

MODEL = 'model = dict(type="A", encoder=dict(pretrained=None))\n'
BASE = MODEL + 'epochs = 60\ntrain_cfg = dict(max_epochs=epochs)\n'


def read(folder, text, base=BASE):
    (folder / 'base.py').write_text(base)
    path = folder / 'own.py'
    path.write_text(f"_base_ = ['base.py']\n{text}")
    return read_config(str(path))


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ("pretrained = 'a.pth'", 'meant: model.encoder.pretrained?'),
        ('pretrained = None', 'meant: model.encoder.pretrained?'),
        ('max_epochs = 5', 'meant: train_cfg.max_epochs?'),
        ('hooks = [dict(type="B")]', 'meant: custom_hooks or default_hooks?'),
        ('val_dataloader2 = dict()', 'meant: val_dataloader?'),
        ('zzz = 1', '"zzz", which nothing reads. Remove it'),
        ('epochs = 5', 'sets "epochs", which a base of it has read before'),
    ],
)
def test_names_that_nothing_reads(tmp_path, text, match):
    with pytest.raises(LaunchError, match=re.escape(match)):
        read(tmp_path, text)


@pytest.mark.parametrize(
    'text',
    [
        'rate = 1e-3\noptim_wrapper = dict(optimizer=dict(lr=rate * 2))',
        'name = "x"\nwork_dir = f"out/{name}"',
        'epochs = 60',  # as the base has it
        'epochs = 5\ntrain_cfg = dict(max_epochs=epochs)',
        'my_pipeline = []',
        'dataset_type = "B"',
        'a = 1\nb = a\nval_cfg = dict(fp16=b)',
        'rate = 1\noptim_wrapper = dict(lr=globals()["rate"])',
        'rate = 1\noptim_wrapper = dict(lr=eval("rate * 2"))',
    ],
)
def test_variables(tmp_path, text):
    read(tmp_path, text)


@pytest.mark.parametrize(
    'use',
    [
        '_base_.given',
        "_base_['given']",
        "_base_.get('given')",
        '{{_base_.given}}',
    ],
)
def test_variables_of_a_base(tmp_path, use):
    base = BASE + 'given = "a"\nleft = 3\n'
    with pytest.raises(LaunchError, match='"given"'):
        read(tmp_path, '', base)
    base = BASE + 'given = "a"\n'
    read(tmp_path, f'val_cfg = dict(word={use})', base)


def test_quoted_variables_of_a_base(tmp_path):
    with pytest.raises(LaunchError, match='given}} in quotes, where mmengine'):
        read(tmp_path, "work_dir = 'a/{{_base_.given}}'", BASE + 'given = 1\n')


def test_docstrings_may_tell_of_variables_of_a_base(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    path = tmp_path / 'own.py'
    doc = '"""Half of {{_base_.epochs}} of the base."""'
    path.write_text(f"{doc}\n_base_ = ['base.py']\n")
    assert read_config(str(path)).epochs == 60


def test_parts_offer_variables(tmp_path):
    (tmp_path / '_base_').mkdir()
    (tmp_path / '_base_/base.py').write_text(f'{BASE}offered = 3\n')
    path = tmp_path / 'own.py'
    path.write_text("_base_ = ['_base_/base.py']\n")
    assert read_config(str(path)).offered == 3


def test_what_a_run_has_written(tmp_path):
    text = 'steps = 60\ntrain_cfg = dict(max_epochs=steps - 5)'
    cfg = read(tmp_path, text)
    cfg.dump(str(tmp_path / 'dump.py'))
    assert read_config(str(tmp_path / 'dump.py')).steps == 60


def test_what_a_run_has_written_may_be_changed_by_hand(tmp_path):
    text = 'steps = 60\ntrain_cfg = dict(max_epochs=steps - 5)\n'
    text += 'launcher = "none"\nwork_dir = "runs"'
    cfg = read(tmp_path, text)
    changed = cfg.pretty_text + '\n# for the second stage\nload_from = None\n'
    (tmp_path / 'mine.py').write_text(changed)
    assert read_config(str(tmp_path / 'mine.py')).steps == 60


def test_code_of_ones_own_may_read_them(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        config_keys, 'warn', lambda line, **_: said.append(line)
    )
    read(tmp_path, 'custom_imports = dict(imports=["json"])\nmine = 1')
    assert said == ['The config has "mine", which nothing reads.']


def test_configs_of_mmpretrain():
    """No false alarm: they are written with care, in many hands."""
    mmpretrain = pytest.importorskip('mmpretrain')
    (folder,) = mmpretrain.__path__
    paths = sorted(
        path
        for kind in ('resnet', 'llava', 'mae', 'efficientnet_v2', 'repvgg')
        for path in _configs(folder, kind)
    )
    if not paths:
        pytest.skip('this mmpretrain was installed without its configs')
    for path in paths:
        read_config(str(path))


def _configs(folder, kind):
    return Path(folder, '.mim/configs', kind).rglob('*.py')
