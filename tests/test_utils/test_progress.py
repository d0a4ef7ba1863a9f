"""The progress bar: where somebody sees it and where not."""

import io
import sys
from types import SimpleNamespace

import pytest
from mmengine.utils import Timer

from mmtpr.utils import progress as module
from mmtpr.utils.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that passes by hand."""
    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(Timer, 'since_start', lambda self: now[0])

    def tick(seconds):
        now[0] += seconds

    return tick


def run(file, tick, seconds, number=10):
    with progress(number, 'Drawing', file) as done:
        for _ in range(number):
            tick(seconds)
            done(1)
    return file.getvalue()


def test_a_bar_on_a_terminal(clock):
    text = run(Terminal(), clock, 1)
    assert text.startswith('Drawing:\n\r[')
    assert '] 3/10, ' in text
    assert '] 10/10, 1.0 task/s, elapsed: 10s, ETA:     0s' in text
    assert text.endswith('\n')


def test_no_bar_where_nobody_sees_it(clock, monkeypatch):
    assert run(io.StringIO(), clock, 1) == ''
    monkeypatch.setattr('mmengine.dist.get_rank', lambda: 1)
    assert run(Terminal(), clock, 1) == ''


def test_no_bar_for_what_is_done_at_once(clock):
    assert run(Terminal(), clock, 0.01) == ''


def test_a_terminal_is_not_written_to_for_each_of_a_million(clock):
    text = run(Terminal(), clock, 0.001, 10_000)
    assert 50 < text.count('\r') < 120
    assert '] 10000/10000, ' in text


def test_nothing_to_do_and_errors(clock):
    with progress(0, 'Drawing', Terminal()) as done:
        done(0)
    file = Terminal()

    def fail():
        with progress(2, 'Drawing', file) as done:
            clock(3)
            done(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert '] 1/2, ' in file.getvalue()
    assert file.getvalue().endswith('\n')


@pytest.mark.parametrize('closed', [True, False])
def test_no_terminal_at_all(closed, monkeypatch):
    file = io.StringIO()
    file.close()
    monkeypatch.setattr(sys, 'stderr', file if closed else None)
    with progress(3, 'images') as advance:
        advance(3)
    with progress(3, 'images', SimpleNamespace()) as advance:
        advance(3)
