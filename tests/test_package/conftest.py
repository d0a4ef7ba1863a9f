"""Helpers of the package tests."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope='session')
def run_python(repo_root, tmp_path_factory):
    """Run code in a new interpreter that finds the tree's mmtpr."""
    folder = tmp_path_factory.mktemp('run_python')

    def run(code: str, *args: str) -> subprocess.CompletedProcess:
        env = dict(os.environ, PYTHONPATH=str(repo_root))
        return subprocess.run(
            [sys.executable, '-c', code, *args],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
        )

    return run
