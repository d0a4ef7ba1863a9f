"""Rows of a stage in blocks: one file each, written when all are there."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mmtpr.utils import atomic_write
from mmtpr.utils.atomic import disk_full_message, is_disk_full
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.warn import warn

#: Field of a row that says why nothing came of it.
DROPPED = 'dropped'
#: Field of the last line of a block, which only a whole one has.
_END = 'end_of_block'
_TAIL = 4096

#: A row: ``key`` names it in the run; whatever else json holds.
Row = dict[str, Any]


@dataclass
class BlockSummary:
    """What a block holds.

    Attributes:
        rows (int): All rows.
        dropped (Counter): How many of them came to nothing, by reason.
    """

    rows: int = 0
    dropped: Counter = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """Rows of which something came.

        Returns:
            int: How many.
        """
        return self.rows - self.dropped.total()

    def add(self, row: Row) -> None:
        """Count a row.

        Args:
            row (dict): The row.
        """
        self.rows += 1
        if DROPPED in row:
            self.dropped[row[DROPPED]] += 1

    def join(self, other: 'BlockSummary') -> None:
        """Count what another block holds.

        Args:
            other (BlockSummary): The other.
        """
        self.rows += other.rows
        self.dropped.update(other.dropped)


class BlockFiles:
    """Blocks of rows in a folder.

    A block is one file of JSON lines, which appears whole. Rows of one that
    is not done wait in a journal: a killed process loses no row it wrote.

    Args:
        folder (Path): The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, block: int) -> Path:
        """Name the file of a block.

        Args:
            block (int): Its index.

        Returns:
            Path: The file.
        """
        return self.folder / f'block-{block:06d}.jsonl'

    def summary(self, block: int) -> BlockSummary | None:
        """Read what a block holds from its last line.

        Args:
            block (int): Its index.

        Returns:
            BlockSummary | None: None if it is not there, or damaged, which a
            line in the log says.
        """
        path = self.path(block)
        try:
            with open(path, 'rb') as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                last = file.read().splitlines()[-1]
            end = json.loads(last)[_END]
            return BlockSummary(end['rows'], Counter(end[DROPPED]))
        except FileNotFoundError:
            return None
        except (LookupError, TypeError, ValueError):
            warn(f'The block "{path}" is damaged and is made again.')
            return None

    def read(self, block: int) -> Iterator[Row]:
        """Read the rows of a block that is done.

        Args:
            block (int): Its index.

        Yields:
            dict: A row, also of those that came to nothing.

        Raises:
            FileNotFoundError: If the block is not there.
            ValueError: If it is damaged.
        """
        path = self.path(block)
        ended = False
        with open(path, encoding='utf-8') as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                    ended = _END in row
                except (TypeError, ValueError):
                    raise ValueError(
                        f'Line {number} of "{path}" cannot be read. Remove '
                        'the file and run the stage again, which makes it '
                        'anew.'
                    ) from None
                if not ended:
                    yield row
        if not ended:
            raise ValueError(
                f'The block "{path}" is cut off. Remove the file and run the '
                'stage again, which makes it anew.'
            )

    def write(self, block: int, rows: list[Row]) -> BlockSummary:
        """Write a block and forget its journal.

        Args:
            block (int): Its index.
            rows (list[dict]): All its rows in order.

        Returns:
            BlockSummary: What it holds.

        Raises:
            LaunchError: If the disk is full.
        """
        summary = BlockSummary()
        for row in rows:
            summary.add(row)
        end = {_END: dict(rows=summary.rows, dropped=dict(summary.dropped))}
        with atomic_write(self.path(block), 'w') as file:
            for row in (*rows, end):
                file.write(f'{_line(row)}\n')
        with suppress(FileNotFoundError):
            self._journal(block).unlink()
        return summary

    def journal(self, block: int) -> 'Journal':
        """Open the rows that are done of a block that is not.

        Args:
            block (int): Its index.

        Returns:
            Journal: These rows; more can be added.
        """
        return Journal(self._journal(block))

    def _journal(self, block: int) -> Path:
        return self.folder / f'block-{block:06d}.journal'


class Journal:
    """Rows that are written one by one, as they are done.

    Args:
        path (Path): The file, made with the first row.

    Attributes:
        rows (dict[str, dict]): Rows by key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        self._file: IO[bytes] | None = None
        self._size = 0
        with suppress(FileNotFoundError):
            self._load(path.read_bytes())

    def _load(self, content: bytes) -> None:
        for line in content.splitlines(keepends=True):
            try:
                row = json.loads(line)
                self.rows[row['key']] = row
            except (LookupError, TypeError, ValueError):
                return  # the last one, cut off by a kill: made again
            self._size += len(line)

    def add(self, row: Row) -> None:
        """Write a row.

        Args:
            row (dict): The row, with its ``key``.

        Raises:
            LaunchError: If the disk is full. The rows before are kept.
        """
        content = f'{_line(row)}\n'.encode()
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self.path, 'ab', buffering=0)  # noqa: SIM115
                self._file.truncate(self._size)
            done = self._file.write(content)
            if done != len(content):  # the rest says what is wrong
                self._file.write(content[done:])
        except OSError as error:
            if is_disk_full(error, self.path.parent):
                path = self.path
                raise LaunchError(disk_full_message(path)) from error
            raise
        self._size += len(content)
        self.rows[row['key']] = row

    def close(self) -> None:
        """Close the file; it stays."""
        if self._file is not None:
            self._file.close()


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(',', ':'))
