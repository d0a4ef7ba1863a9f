"""A progress bar for what takes its time, where somebody sees it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from mmengine.utils import ProgressBar, Timer

#: Seconds before there is a bar, and between two looks of it.
_PATIENCE, _INTERVAL = 1.0, 0.1


@contextmanager
def progress(
    total: int, what: str, file: TextIO | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how far something is, on standard error.

    There is no bar where the output is no terminal, in other processes than
    the first, and for what takes less than a second.

    Args:
        total (int): Number of things to do.
        what (str): What they are, such as ``'images'``.
        file (TextIO, optional): Where to show it. Defaults to None, standard
            error.

    Yields:
        Callable[[int], None]: To be called with the number of things done
        since the last call.

    Examples:
        >>> with progress(3, 'images') as advance:
        ...     for _ in range(3):
        ...         advance(1)
    """
    file = sys.stderr if file is None else file
    if not total or not _is_terminal(file) or not _is_first():
        yield lambda number: None
        return
    bar = _Bar(total, what, file)
    try:
        yield bar.advance
    finally:
        bar.close()


def _is_terminal(file: TextIO | None) -> bool:
    try:
        return file is not None and file.isatty()
    except (AttributeError, ValueError):  # something like a file; closed
        return False


def _is_first() -> bool:
    from mmengine.dist import get_rank  # imports torch

    return get_rank() == 0


class _Bar:
    def __init__(self, total: int, what: str, file: TextIO) -> None:
        self.bar = ProgressBar(total, start=False, file=file)
        self.bar.timer = Timer()
        self.what, self.file = what, file
        self.waiting, self.shown = 0, False
        self.next = time.monotonic() + _PATIENCE

    def advance(self, number: int) -> None:
        self.waiting += number
        if self.waiting and time.monotonic() >= self.next:
            self._show()

    def close(self) -> None:
        if self.shown:
            if self.waiting:
                self._show()
            self.file.write('\n')
            self.file.flush()

    def _show(self) -> None:
        if not self.shown:
            self.file.write(f'{self.what}:\n')
            self.shown = True
        self.bar.update(self.waiting)
        self.waiting = 0
        self.next = time.monotonic() + _INTERVAL
