"""Numbers on the command line of tools that write synthetic data."""

import sys

import pytest

from mmtpr.synthesis import ToySettings
from mmtpr.synthesis.command_line import write_from_command_line


def start(monkeypatch, *words):
    monkeypatch.setattr(sys, 'argv', ['tool', *words])
    given = []
    write_from_command_line(
        lambda out, settings, processes: given.append(settings) or True,
        ToySettings(),
        'data/toy',
        dict(train='persons', seed='of the drawing'),
        'Write.',
    )
    return given[0]


def test_numbers_below_zero_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        start(monkeypatch, '--train', '-5')
    assert '--train: -5 is less than 0' in capsys.readouterr().err
    assert start(monkeypatch, '--train', '5', '--seed', '-1').train == 5
