"""Runs tests of tests/pretended_gpu in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmtpr.testing.pretended_gpu import is_available

ROOT = Path(__file__).resolve().parents[2]

needs_python_devices = pytest.mark.skipif(
    not is_available(),
    reason='this torch cannot be told of a device by Python (2.9 can)',
)


def run_cases(name: str, *options: str) -> int:
    """Run a file of cases; torch knows another device afterwards.

    Args:
        name (str): Name of the file in tests/pretended_gpu.
        *options (str): Options of pytest.

    Returns:
        int: Number of cases that passed.
    """
    command = [
        *(sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider'),
        *('-p', 'no:xdist', '--tb=short', '-o', 'addopts='),
        *(str(ROOT / 'tests/pretended_gpu' / name), *options),
    ]
    # Not of a worker of pytest-xdist, which this may be.
    env = {k: v for k, v in os.environ.items() if 'PYTEST_' not in k}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(env, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r'(\d+) passed', done.stdout)
    assert passed, done.stdout[-2000:]
    return int(passed[1])
