"""Tools run in this process, and programs in others with the same path."""

import importlib.util
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope='session')
def run_tool(repo_root):
    """Runs the main function of a tool with words of a command line."""

    def run(name, *words):
        path = repo_root / name
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', [name, *map(str, words)])
            module.main()

    return run


@pytest.fixture(scope='session')
def fails(run_tool):
    """Runs a tool that is to end with one sentence, which it gives."""

    def run(name, *words):
        with pytest.raises(SystemExit) as caught:
            run_tool(name, *words)
        return str(caught.value)

    return run


@pytest.fixture(scope='session')
def run_code(repo_root):
    """Runs a program in a new interpreter; gives what it printed."""

    def run(code, *words, **env):
        path = os.pathsep.join([str(repo_root), *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, '-c', code, *map(str, words)],
            env=dict(os.environ, PYTHONPATH=path, **env),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run
