"""Rows of numbers in a file, read without mapping it."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import numpy as np

_BLOCK = 4096


class RowFile:
    """A file of equal rows, open for reading.

    What is mapped counts as memory of the process as long as it is mapped,
    and candidates of some hundred searches are all over the file. So rows
    are read, those that follow each other at once.

    Args:
        path (Path): The file.
        dtype (dtype): Type of its numbers.
        shape (tuple[int, ...]): Of all rows, (n, ...).
    """

    def __init__(
        self, path: Path, dtype: np.dtype, shape: tuple[int, ...]
    ) -> None:
        self.dtype, self.shape = dtype, shape
        # Open from the start: a writer may remove the file meanwhile.
        self._file = open(path, 'rb', buffering=0)  # noqa: SIM115
        self._lock = Lock()
        self._bytes = dtype.itemsize * int(np.prod(shape[1:]))  # of a row

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read some rows.

        Args:
            rows (ndarray): Which, in any order, (m, ).

        Returns:
            ndarray: Of shape (m, ...), native numbers, to be written to.

        Raises:
            OSError: If the file is shorter than that.
        """
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        if not len(rows):
            return out
        memory = memoryview(out.reshape(len(rows), -1).view(np.uint8).data)
        breaks = (np.diff(rows) != 1).nonzero()[0] + 1
        starts = [0, *breaks.tolist()]
        stops = [*breaks.tolist(), len(rows)]
        for start, stop in zip(starts, stops, strict=True):
            self._fill(memory[start:stop], int(rows[start]) * self._bytes)
        return out.astype(self.dtype.newbyteorder('='), copy=False)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Read all rows in turn.

        Yields:
            tuple[int, ndarray]: The first row of some, and these.
        """
        for start in range(0, len(self), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self)))
            yield start, self.read(rows)

    def _fill(self, memory: memoryview, place: int) -> None:
        part = memory.cast('B')
        while len(part):
            done = self._read_into(part, place)
            if not done:
                raise OSError(f'"{self._file.name}" ends before its rows do.')
            part, place = part[done:], place + done

    def _read_into(self, memory: memoryview, place: int) -> int:
        """Read bytes from a place; not all of them need come at once."""
        if hasattr(os, 'preadv'):
            return os.preadv(self._file.fileno(), [memory], place)
        with self._lock:  # threads share where the file is read
            self._file.seek(place)
            return self._file.readinto(memory) or 0
