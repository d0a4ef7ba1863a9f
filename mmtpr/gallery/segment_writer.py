"""Items on their way to disk."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mmtpr.utils import atomic_write
from mmtpr.utils.atomic import disk_full_message, is_disk_full
from mmtpr.utils.errors import LaunchError

from .columns import arrow, arrow_type
from .manifest import FileFacts, SegmentFacts, file_facts
from .pooled_index import write_pooled
from .segment import as_stored, token_type

#: Items whose columns lie together in the table.
_GROUP = 65_536


class SegmentWriter:
    """Collects items and writes them as a segment.

    Of several vectors an item, all go to disk at once, and only the pooled
    ones wait in memory.

    Args:
        folder (Path): The store.
        number (int): Number of the segment.
        vectors (int): Vectors T of an item.
        dim (int): Numbers D of a vector.
    """

    def __init__(
        self, folder: Path, number: int, vectors: int, dim: int
    ) -> None:
        self.folder, self.number = folder, number
        self.vectors, self.dim = vectors, dim
        self.items = 0
        self._pooled: list[np.ndarray] = []
        self._own: list[tuple[list[str], list[str]]] = []
        self._arrays: list[Mapping[str, Any]] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self._file: Any = None
        if vectors > 1:
            self._file = open(self.tokens_path, 'wb')  # noqa: SIM115

    @property
    def tokens_path(self) -> Path:
        """Path of the file of all vectors.

        Returns:
            Path: The file.
        """
        end = 'f32' if self.vectors == 1 else 'f16'
        return self._path('tokens', end)

    def add(
        self,
        ids: Sequence[str],
        paths: Sequence[str],
        vectors: np.ndarray,
        arrays: Mapping[str, Any],
    ) -> None:
        """Add items; after an error none of them is.

        Args:
            ids (Sequence[str]): Of the n items.
            paths (Sequence[str]): Likewise.
            vectors (ndarray): Of shape (n, T, D), float32.
            arrays (Mapping[str, pyarrow.Array]): Their columns.

        Raises:
            LaunchError: If the disk is full.
        """
        stored, pooled = as_stored(vectors)
        if self._file is not None:
            self._append(stored)
        self._pooled.append(pooled)
        self._own.append((list(ids), list(paths)))
        self._arrays.append(arrays)
        self.items += len(ids)

    def finish(
        self, kinds: Mapping[str, str], flat_items: int
    ) -> SegmentFacts:
        """Write the segment; may be tried again after an error.

        Args:
            kinds (Mapping[str, str]): Kinds of the columns.
            flat_items (int): Items up to which all are compared.

        Returns:
            SegmentFacts: Its files.

        Raises:
            LaunchError: If the disk is full.
        """
        self._pooled = [np.concatenate(self._pooled)]
        pooled = self._pooled[0]  # (n, D)
        path = self._path('pooled', 'faiss')
        flat = write_pooled(path, pooled, flat_items)
        tokens = None
        if self._file is not None:
            tokens = self._sync()
        elif not flat:
            with atomic_write(self.tokens_path) as file:
                file.write(pooled.astype(token_type(1)).data)
            tokens = file_facts(self.tokens_path)
        table = self._write_table(kinds)
        facts = (file_facts(path), table, tokens)
        return SegmentFacts(self.items, flat, *facts)

    def close(self) -> None:
        """Close the file that is open; it stays."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _path(self, what: str, end: str) -> Path:
        return self.folder / f'{what}-{self.number:06d}.{end}'

    def _append(self, stored: np.ndarray) -> None:
        start = self._file.tell()
        try:
            self._file.write(stored.data)
            self._file.flush()
        except BaseException as error:
            self._cut(start)
            if is_disk_full(error, self.folder):
                path = self.tokens_path
                raise LaunchError(disk_full_message(path)) from error
            raise
        self._digest.update(stored.data)

    def _cut(self, size: int) -> None:
        """Take back what was written behind a place, also what waits."""
        with suppress(OSError):
            self._file.close()
        self._file = open(self.tokens_path, 'r+b')  # noqa: SIM115
        self._file.truncate(size)
        self._file.seek(size)

    def _sync(self) -> FileFacts:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if is_disk_full(error, self.folder):
                path = self.tokens_path
                raise LaunchError(disk_full_message(path)) from error
            raise
        size = self._file.tell()
        path = self.tokens_path
        return FileFacts(path.name, size, self._digest.hexdigest())

    def _write_table(self, kinds: Mapping[str, str]) -> FileFacts:
        pa = arrow()
        parts = []
        for (ids, paths), arrays in zip(self._own, self._arrays, strict=True):
            columns = dict(
                id=pa.array(ids, pa.string()),
                path=pa.array(paths, pa.string()),
            )
            for name, kind in kinds.items():
                missing = pa.nulls(len(ids), arrow_type(kind))
                columns[name] = arrays.get(name, missing)
            parts.append(pa.table(columns))
        path = self._path('table', 'parquet')
        with atomic_write(path) as file:
            pa.parquet.write_table(
                pa.concat_tables(parts), file, row_group_size=_GROUP
            )
        return file_facts(path)
