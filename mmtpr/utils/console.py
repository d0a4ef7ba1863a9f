"""What of a log the console shows; log files have all of it."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger
from torch import nn

#: A line for each parameter, of mmengine's ``BaseModule.init_weights``.
_INIT_LINES = r'\n\S+ - torch\.Size\('


class _Hidden(logging.Filter):
    def __init__(self, pattern: str) -> None:
        super().__init__()
        self.pattern = re.compile(pattern)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
        return not self.pattern.match(record.getMessage())


def hide_from_console(logger: logging.Logger, pattern: str) -> logging.Filter:
    """Keep messages off the console; they stay in log files.

    Args:
        logger (Logger): The logger, with its handlers.
        pattern (str): Regular expression of the beginning of messages.

    Returns:
        Filter: What was added to the handlers that are no files.
    """
    hidden = _Hidden(pattern)
    for handler in logger.handlers:
        known = [f for f in handler.filters if isinstance(f, _Hidden)]
        there = any(f.pattern == hidden.pattern for f in known)
        if not isinstance(handler, logging.FileHandler) and not there:
            handler.addFilter(hidden)
    return hidden


@contextmanager
def console_without(pattern: str) -> Iterator[None]:
    """Keep messages of mmengine's current logger off the console.

    Args:
        pattern (str): Regular expression of the beginning of messages.
    """
    logger = MMLogger.get_current_instance()
    hidden = hide_from_console(logger, pattern)
    try:
        yield
    finally:
        for handler in logger.handlers:
            handler.removeFilter(hidden)


def init_quietly(module: nn.Module) -> None:
    """Call ``init_weights`` without a line on the console a parameter.

    mmengine prints how each parameter was initialised where there is no log
    file. If there is one, they stand in it as ever.

    Args:
        module (nn.Module): With ``init_weights``.
    """
    with console_without(_INIT_LINES):
        module.init_weights()  # type: ignore[operator]
