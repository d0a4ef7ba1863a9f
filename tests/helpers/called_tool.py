"""Tools that are called in the process of the tests, on the CPU."""

import importlib.util
import sys

import pytest


class CalledTool:
    """A tool, called with the words of its command line."""

    def __init__(self, path, monkeypatch, capsys):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        monkeypatch.setattr(self.module, 'get_device', lambda: 'cpu')
        self.name, self.monkeypatch, self.capsys = (
            path.name,
            monkeypatch,
            capsys,
        )

    def __call__(self, *words):
        """What it prints."""
        line = [self.name, *map(str, words)]
        self.monkeypatch.setattr(sys, 'argv', line)
        self.module.main()
        return self.capsys.readouterr().out

    def failing(self, *words):
        """The sentence in which it ends."""
        with pytest.raises(SystemExit) as caught:
            self(*words)
        told = str(caught.value) + self.capsys.readouterr().err
        assert 'Traceback' not in told
        return told
