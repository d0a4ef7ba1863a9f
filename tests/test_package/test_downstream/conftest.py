"""Runs the projects of this folder, each in a process of its own."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope='session')
def run_project(repo_root):
    """Run a script once per case; return case -> result."""

    def run(script: str, cases: list) -> dict:
        places = [str(repo_root), os.environ.get('PYTHONPATH', '')]
        done = subprocess.run(
            [
                sys.executable,
                repo_root / 'tests/helpers/fresh_process.py',
                repo_root / 'tests/test_package/test_downstream' / script,
                *cases,
            ],
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(places)),
        )
        assert done.returncode == 0, done.stderr
        outcomes = json.loads(done.stdout.strip().splitlines()[-1])
        errors = [o['error'] for o in outcomes.values() if 'error' in o]
        assert not errors, '\n'.join(errors)
        return {case: o['result'] for case, o in outcomes.items()}

    return run
