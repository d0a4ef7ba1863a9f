"""What ``import mmtpr`` alone does, in a fresh process."""

import subprocess
import sys
from pathlib import Path

CODE = """
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


def test_allow_list_and_backend():
    done = subprocess.run(
        [sys.executable, '-c', CODE],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == 'AtomicLocalBackend'
