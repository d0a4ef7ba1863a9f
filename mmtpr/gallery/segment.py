"""Items that were written together, opened for reading."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .columns import arrow, arrow_type
from .manifest import Manifest, SegmentFacts
from .pooled_index import PooledIndex
from .row_file import RowFile

#: Types of stored vectors: where the pooled ones are not all there are.
HALF, SINGLE = np.dtype('<f2'), np.dtype('<f4')


class Segment:
    """Vectors and columns of some items, mapped into memory.

    All files are open from the start, so that they stay readable when a
    writer removes them for a newer generation.

    Args:
        folder (Path): The store.
        facts (SegmentFacts): Which files.
        manifest (Manifest): The generation.
    """

    def __init__(
        self, folder: Path, facts: SegmentFacts, manifest: Manifest
    ) -> None:
        pa = arrow()
        self.facts = facts
        self.kinds = manifest.columns
        self.pooled = PooledIndex(folder / facts.pooled.name, facts.flat)
        table = pa.memory_map(str(folder / facts.table.name))
        self._table = pa.parquet.ParquetFile(table)
        self._columns: dict[str, Any] = {}
        shape = (facts.items, manifest.vectors, manifest.dim)
        self._file: RowFile | None = None
        if facts.tokens is not None:
            kind = token_type(manifest.vectors)
            self._file = RowFile(folder / facts.tokens.name, kind, shape)

    def __len__(self) -> int:
        return self.facts.items

    def read(self, rows: np.ndarray) -> Tensor:
        """Read the vectors of some items.

        Args:
            rows (ndarray): Rows in the segment, (n, ).

        Returns:
            Tensor: Of shape (n, T, D), float32.
        """
        if self._file is not None:
            # Torch is ten times as fast as numpy in making float32.
            return torch.from_numpy(self._file.read(rows)).float()
        some: Any = rows
        if len(rows) and (np.diff(rows) == 1).all():  # no gathering
            some = slice(int(rows[0]), int(rows[-1]) + 1)
        found = self._flat()[some]
        if isinstance(some, slice):  # a view of what may not be written to
            found = found.copy()
        return torch.from_numpy(found)

    def _flat(self) -> np.ndarray:
        return self.pooled.vectors()[:, None]  # (n, 1, D)

    def column(self, name: str) -> Any:
        """Read a column, once.

        Args:
            name (str): Its name, ``id`` and ``path`` included.

        Returns:
            pyarrow.Array: A value for each item.
        """
        if name not in self._columns:
            if name in self._table.schema_arrow.names:
                table = self._table.read(columns=[name], use_threads=False)
                found = table[name].combine_chunks()
                if isinstance(found, arrow().ChunkedArray):
                    found = arrow().concat_arrays(found.chunks)
            else:  # came with later items
                kind = arrow_type(self.kinds[name])
                found = arrow().nulls(len(self), kind)
            self._columns[name] = found
        return self._columns[name]

    def damage(self) -> str:
        """Say what in the segment does not go together.

        Returns:
            str: The contradiction, '' if there is none.
        """
        rows = self._table.metadata.num_rows
        if not len(self) == rows == len(self.pooled):
            return (
                f'"{self.facts.pooled.name}" has {len(self.pooled)} items, '
                f'"{self.facts.table.name}" {rows} instead of {len(self)}'
            )
        blocks = (
            ((0, self._flat()),) if self._file is None else self._file.blocks()
        )
        for start, vectors in blocks:
            if not np.isfinite(vectors).all():
                return f'vectors from row {start} on are not finite'
        return ''


def as_stored(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn vectors into what is stored of them.

    Args:
        vectors (ndarray): Of shape (n, T, D), float32.

    Returns:
        tuple[ndarray, ndarray]: All vectors (n, T, D) in the type in which
        they are stored, and the pooled ones (n, D), float32.
    """
    if vectors.shape[1] == 1:
        return vectors, np.ascontiguousarray(vectors[:, 0], np.float32)
    stored = np.ascontiguousarray(vectors, token_type(vectors.shape[1]))
    # Of what is stored, so that it can be made again.
    return stored, stored.astype(np.float32).mean(1)


def token_type(vectors: int) -> np.dtype:
    """Name the type in which all vectors are stored.

    Args:
        vectors (int): Vectors T of an item.

    Returns:
        dtype: float32 for one vector, float16 for several.
    """
    return SINGLE if vectors == 1 else HALF
