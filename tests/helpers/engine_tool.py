"""Tools of the data engine, called in the process of the tests."""

import importlib.util
import sys
from pathlib import Path

import pytest

_TOOLS = Path(__file__).resolve().parents[2] / 'tools/synthesis'


def call_tool(monkeypatch, name, *words):
    """Run it to its end."""
    path = _TOOLS / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', [str(path), *map(str, words)])
    module.main()


def failing_tool(monkeypatch, name, *words):
    """The sentence in which it ends."""
    with pytest.raises(SystemExit) as caught:
        call_tool(monkeypatch, name, *words)
    return str(caught.value)
