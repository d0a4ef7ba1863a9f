"""Tools of tools/analysis as functions."""

import importlib.util
import sys

import pytest


@pytest.fixture
def load_tool(repo_root, monkeypatch):
    """Gives a tool, by its name, as a function of its arguments."""

    def load(name):
        path = repo_root / f'tools/analysis/{name}.py'
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        def call(*args):
            monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
            module.main()

        return call

    return load
