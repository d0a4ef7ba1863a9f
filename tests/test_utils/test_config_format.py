"""Texts of configs: readable, the same after a round trip, without yapf."""

import ast
import os
import subprocess
import sys

import pytest
from mmengine.config import Config, config


@pytest.mark.parametrize('name', ['toy/wora_toy.py', 'wora_cuhk.py'])
def test_readable_and_read_again(repo_root, tmp_path, name):
    cfg = Config.fromfile(repo_root / 'configs' / name)
    cfg.odd = {'a key': ["it's", 'two\nlines', None, (1,)], 'x': float('1e-6')}
    text = cfg.pretty_text
    assert max(len(line) for line in text.splitlines()) < 200
    assert text.count('\n') > 100
    assert text.endswith('\n')
    ast.parse(text)
    cfg.dump(tmp_path / 'again.py')
    again = Config.fromfile(tmp_path / 'again.py')
    assert again.to_dict() == cfg.to_dict()
    assert again.pretty_text == text


@pytest.mark.skipif(
    not hasattr(config, 'FormatCode'),
    reason='this mmengine does not format configs by yapf',
)
def test_yapf_is_not_called():
    code = (
        'import yapf.yapflib.yapf_api as api\n'
        'def fail(*a, **k):\n'
        '    raise AssertionError("yapf was called")\n'
        'api.FormatCode = fail\n'
        'import mmtpr\n'
        'from mmengine.config import Config\n'
        'print(Config(dict(a=dict(b=1))).pretty_text)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert done.returncode == 0, done.stderr
    assert Config.fromstring(done.stdout, '.py').a.b == 1
