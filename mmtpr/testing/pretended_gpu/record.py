"""Record of what a pretended GPU was asked to do, and by which line."""

import os
import sys
from collections import Counter
from types import FrameType
from typing import Any

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(_OWN))) + os.sep
_TORCH = f'{os.sep}torch{os.sep}'

#: Records that are being written, the innermost last.
_ACTIVE: list['Record'] = []


class Record:
    """Counts of waits, copies and launches by operation and line.

    Attributes:
        events (Counter): ``(kind, operation, line)`` -> how often. The kind
            is ``'wait'``, ``'copy'`` or ``'launch'``; launches have no line.
        memory (Memory | None): Bytes that are held, where tensors are without
            numbers.
    """

    memory: Any = None

    def __init__(self) -> None:
        self.events: Counter = Counter()

    def note(self, kind: str, name: str, times: int = 1) -> None:
        """Count an event.

        Args:
            kind (str): ``'wait'``, ``'copy'`` or ``'launch'``.
            name (str): Name of the operation.
            times (int): How often. Defaults to 1.
        """
        line = '' if kind == 'launch' else _line_of_caller()
        self.events[kind, name, line] += times

    def reset(self) -> None:
        """Forget all events."""
        self.events.clear()

    def waits(self, part: str = '') -> dict[str, int]:
        """List what the host waited for.

        Args:
            part (str): Only lines that contain this, such as ``'mmtpr/'``.
                Defaults to all.

        Returns:
            dict[str, int]: ``'operation at line'`` -> how often.
        """
        return {
            f'{name} at {line}': times
            for (kind, name, line), times in self.events.items()
            if kind == 'wait' and part in line
        }

    def launches(self) -> int:
        """Count the kernels that were started.

        Returns:
            int: The number.
        """
        return sum(n for (k, *_), n in self.events.items() if k == 'launch')


def active() -> Record | None:
    """Find the record that is being written.

    Returns:
        Record | None: The innermost, None if there is none.
    """
    return _ACTIVE[-1] if _ACTIVE else None


def start(record: Record) -> None:
    """Write to a record from now on.

    Args:
        record (Record): The record.
    """
    _ACTIVE.append(record)


def stop() -> None:
    """Stop writing to the innermost record."""
    _ACTIVE.pop()


def _line_of_caller() -> str:
    """Name the innermost line of mmtpr, and of all outside torch."""
    own = other = ''
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not own:
        path = os.path.abspath(frame.f_code.co_filename)
        if not path.startswith(_OWN) and _TORCH not in path:
            where = f'{os.sep.join(path.split(os.sep)[-2:])}:{frame.f_lineno}'
            if path.startswith(_PACKAGE):
                own = f'mmtpr/{path[len(_PACKAGE) :]}:{frame.f_lineno}'
            elif not other:
                other = where
        frame = frame.f_back
    if own and other:
        return f'{own} [{other}]'
    return own or other or 'backward or C++'
