"""Errors whose message is all that a user needs: tools show no traceback.

A message that somebody wrote for the user says all there is to say; behind it
a traceback of twenty frames only hides it. So an error counts as told if the
statement that raised it is a ``raise`` in mmtpr, or one of mmengine's about a
config, or if a config gives a class an argument it does not take. Whatever
else ends a program is a bug, of mmtpr or of others, and keeps its traceback.
"""

import linecache
import os
import re
from pathlib import Path
from types import TracebackType

_MMTPR = str(Path(__file__).resolve().parents[1]) + os.sep
#: Parts of mmengine whose errors are about a config.
_OF_CONFIGS = re.compile(r'(mmengine|torch.optim)\b[/\\]')
#: Python's words for arguments that do not fit.
_ARGUMENTS = re.compile(
    r'(unexpected keyword argument|missing \d+ required|required positional)'
)
_FROM_WORKER = re.compile(r'^Caught \w+ in DataLoader worker process')
_FRAME = re.compile(r'File "([^"]+)", line \d+, in .*\n\s*(.*)')


class LaunchError(RuntimeError):
    """A mistake in the command line or the config."""


class NonFiniteLossError(FloatingPointError):
    """A loss or a weight is NaN or infinite."""


def told_message(error: BaseException) -> str | None:
    """Find the message of an error that was raised on purpose.

    Args:
        error (BaseException): The error.

    Returns:
        str | None: Its message, None for a bug.
    """
    if isinstance(error, LaunchError):
        return str(error)
    if not isinstance(error, Exception):
        return None
    text = _text(error)
    if _FROM_WORKER.match(text):
        return _of_worker(text)
    file, line = _raised_at(error.__traceback__)
    inner = error.__cause__ or error.__context__
    if _OF_CONFIGS.search(file) and inner is not None:
        # The registry wraps what a class raises when it is built.
        told = told_message(inner)
        if told is not None:
            return told
    on_purpose = line.startswith(('raise', 'assert'))
    if file.startswith(_MMTPR) and on_purpose:
        return text
    if _OF_CONFIGS.search(file):
        if on_purpose and inner is None:
            return text
        if isinstance(error, TypeError) and _ARGUMENTS.search(text):
            return text
        if isinstance(error, OSError) and error.filename:
            return f'"{error.filename}" cannot be read: {error.strerror}.'
    return None


def _text(error: BaseException) -> str:
    """The message; that of a KeyError without Python's quotes."""
    if isinstance(error, KeyError) and len(error.args) == 1:
        return str(error.args[0])
    return str(error)


def _raised_at(trace: TracebackType | None) -> tuple[str, str]:
    """File and source line of the innermost frame."""
    if trace is None:
        return '', ''
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    line = linecache.getline(code.co_filename, trace.tb_lineno)
    return code.co_filename, line.strip()


def _of_worker(text: str) -> str | None:
    """Message of an error in a process that loads data."""
    frames = _FRAME.findall(text)
    if not frames:
        return None
    file, line = frames[-1]
    if not (file.startswith(_MMTPR) and line.startswith('raise')):
        return None
    found = re.split(r'\n\w[\w.]*(?:Error|Exception): ', text)
    return found[-1].strip() if len(found) > 1 else None
