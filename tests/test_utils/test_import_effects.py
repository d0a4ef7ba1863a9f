"""What ``import mmtpr`` alone does, in a fresh process."""

import subprocess
import sys
from pathlib import Path

import pytest

REGISTERED = """
import torch, mmtpr
from mmengine.config import config
from mmengine.logging import HistoryBuffer
allowed = torch.serialization.get_safe_globals()
assert HistoryBuffer in allowed
assert getattr not in allowed
from mmengine.config.utils import MODULE2PACKAGE
assert MODULE2PACKAGE['mmtpr'] == 'mmtpr'
from mmtpr.engine import AtomicCheckpointHook
from mmengine.fileio import get_file_backend
backend = get_file_backend(backend_args=dict(backend='mmtpr.atomic'))
print(type(backend).__name__)
"""

# Whichever of the two comes first.
READ_BEFORE_TORCH = """
import mmtpr, sys
assert 'torch' not in sys.modules
{then}
import torch
from mmengine.logging import HistoryBuffer
print(HistoryBuffer in torch.serialization.get_safe_globals())
"""

# Some installations, editable ones for example, lack the shim that makes every
# import of distutils one of setuptools.
REPORTED = """
import sys
import _distutils_hack
_distutils_hack.remove_shim()
import mmtpr
from mmengine.utils.dl_utils import collect_env
collect_env()  # every runner does
print(sys.modules['distutils'].__name__, sys.modules['distutils'].__file__)
"""


def last_line(code):
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_allow_list_and_backend():
    assert last_line(REGISTERED) == 'AtomicLocalBackend'


@pytest.mark.parametrize(
    'then',
    ['', 'import mmtpr.registry', 'import mmtpr.models', 'import torch'],
)
def test_mmtpr_may_come_before_torch(then):
    assert last_line(READ_BEFORE_TORCH.replace('{then}', then)) == 'True'


def test_runners_report_with_the_distutils_of_setuptools():
    """Else setuptools, and so torch.compile, may fail to import later."""
    pytest.importorskip('_distutils_hack', reason='setuptools is absent')
    name, path = last_line(REPORTED).split(maxsplit=1)
    assert name == 'distutils'
    assert Path(path).parts[-3:-1] == ('setuptools', '_distutils')
