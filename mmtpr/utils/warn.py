"""Lines that somebody has to see."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmengine.logging import print_log

_heard: ContextVar[list[str] | None] = ContextVar('heard', default=None)


def warn(line: str) -> None:
    """Write a warning to the log of the run.

    Args:
        line (str): What is amiss, how many, and what to do.
    """
    print_log(line, logger='current', level=logging.WARNING)
    lines = _heard.get()
    if lines is not None:
        lines.append(line)


@contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """Hear what :func:`warn` writes, for who does not see the log.

    Yields:
        list[str]: The lines of this thread so far; the log has them as well.
    """
    lines: list[str] = []
    token = _heard.set(lines)
    try:
        yield lines
    finally:
        _heard.reset(token)
