"""What the console does not show and the log file does."""

import io
import logging

import pytest
from mmengine.logging import MMLogger, print_log
from mmengine.model import BaseModule
from torch import nn

from mmtpr.utils.console import (
    console_without,
    hide_from_console,
    init_quietly,
)


class Part(BaseModule):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)


@pytest.fixture
def logger(request):
    """A logger of a test's own, which prints to its capsys."""
    name = f'console_{request.node.name}'
    yield lambda **kwargs: MMLogger.get_instance(name, **kwargs)
    MMLogger._instance_dict.pop(name)


def test_a_file_has_what_the_console_does_not_show(logger, tmp_path, capsys):
    logger(log_file=str(tmp_path / 'log'))
    with console_without('long |Config:\n'):
        print_log('long story', 'current')
        print_log('Config:\na = 1', 'current')
        print_log('not so long story', 'current')
    print_log('long again', 'current')
    told = capsys.readouterr().out
    assert [line.split(' - ')[-1] for line in told.splitlines()] == [
        'not so long story',
        'long again',
    ]
    text = (tmp_path / 'log').read_text()
    assert 'long story' in text
    assert 'a = 1' in text


def test_the_filter_goes_after_an_error_as_well(logger, capsys):
    handlers = logger().handlers
    before = [list(handler.filters) for handler in handlers]
    with pytest.raises(KeyError), console_without('x'):
        raise KeyError
    assert [handler.filters for handler in handlers] == before


def test_initialising_prints_no_line_a_parameter(logger, tmp_path, capsys):
    logger()
    Part().init_weights()
    assert 'linear.weight' in capsys.readouterr().out  # mmengine's way
    part = Part()
    init_quietly(part)
    assert part.is_init
    assert capsys.readouterr().out == ''
    init_quietly(part)  # another line of the same function
    assert 'more than once' in capsys.readouterr().out


def test_with_a_log_file_they_stand_in_it(logger, tmp_path, capsys):
    logger(log_file=str(tmp_path / 'log'))
    init_quietly(Part())
    assert capsys.readouterr().out == ''
    assert 'linear.weight' in (tmp_path / 'log').read_text()


def test_errors_are_never_hidden_and_filters_do_not_pile_up():
    logger = logging.getLogger('a logger of a test')
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    for _ in range(3):
        hide_from_console(logger, 'noise')
    assert len(logger.handlers[0].filters) == 1
    logger.warning('noise')
    logger.error('noise that matters')
    assert stream.getvalue() == 'noise that matters\n'
