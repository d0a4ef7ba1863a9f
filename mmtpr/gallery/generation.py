"""One state of a store on disk, as readers see it."""

import time
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtpr.evaluation.equal_items import equal_items

from .column_filter import bind_where, matching
from .columns import OWN, arrow, arrow_type
from .manifest import Manifest, read_manifest
from .segment import Segment
from .stored_items import StoredItems
from .where_clause import parse_where

_TRIES, _PAUSE = 20, 0.05
#: Values that are read one by one, which is faster for as many.
_FEW = 64


class Generation:
    """All segments of a store at one moment.

    Args:
        folder (Path): The store.
        manifest (Manifest): The moment.

    Raises:
        ValueError: If a file is missing or cut off.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        damaged = [f.damage(folder, whole=False) for f in manifest.files]
        if told := next(filter(None, damaged), ''):
            raise ValueError(
                f'The store "{folder}" is damaged: {told}. Restore it from a '
                'copy, or make it anew.'
            )
        self.segments = [
            Segment(folder, facts, manifest) for facts in manifest.segments
        ]
        sizes = [len(segment) for segment in self.segments]
        self.starts = np.cumsum([0, *sizes])  # (segments + 1, )
        self.live: np.ndarray | None = None  # (N, ) of bool; None for all
        if manifest.deleted is not None:
            dead = np.load(folder / manifest.deleted.name)
            self.live = np.ones(self.rows, dtype=bool)
            self.live[dead] = False

    @property
    def rows(self) -> int:
        """Rows, those of deleted items included.

        Returns:
            int: How many N.
        """
        return int(self.starts[-1])

    def __len__(self) -> int:
        return self.rows if self.live is None else int(self.live.sum())

    @property
    def compares_all(self) -> bool:
        """Tell whether :meth:`nearest` misses nothing and scores exactly.

        Returns:
            bool: True for single vectors without approximation.
        """
        flat = all(segment.facts.flat for segment in self.segments)
        return flat and self.manifest.vectors == 1

    @cached_property
    def places(self) -> dict[str, int]:
        """Rows of the items by id, found once."""
        ids = self.column('id', self.all_rows())
        return dict(zip(ids, self.all_rows().tolist(), strict=True))

    @cached_property
    def labels(self) -> np.ndarray | None:
        """First row of the same vectors for each row; None if all differ."""
        items = self.items(np.arange(self.rows))
        found = equal_items(items) if len(items) else None
        if found is None:
            return None
        labels = np.arange(self.rows)
        labels[found[0].numpy()] = found[1].numpy()
        return labels

    def all_rows(self) -> np.ndarray:
        """List the rows of items that are not deleted.

        Returns:
            ndarray: In ascending order, (n, ).
        """
        if self.live is None:
            return np.arange(self.rows)
        return self.live.nonzero()[0]

    def allowed(self, where: str | None) -> np.ndarray | None:
        """Find the rows that a filter lets through.

        Args:
            where (str, optional): The filter.

        Returns:
            ndarray | None: True for those, (N, ); None for all.

        Raises:
            WhereError: If the filter cannot be read or has a wrong column.
        """
        if where is None:
            return self.live
        bound = bind_where(parse_where(where), self.manifest.columns)
        masks = [matching(bound, part.column) for part in self.segments]
        mask = np.concatenate([np.zeros(0, dtype=bool), *masks])
        return mask if self.live is None else mask & self.live

    def items(self, rows: np.ndarray) -> StoredItems:
        """Show vectors where they lie.

        Args:
            rows (ndarray): Rows of the n items, (n, ).

        Returns:
            StoredItems: Of shape (n, T, D).
        """
        manifest = self.manifest
        return StoredItems(self.read, rows, manifest.vectors, manifest.dim)

    def read(self, rows: np.ndarray) -> Tensor:
        """Read vectors.

        Args:
            rows (ndarray): Rows of the n items in any order, (n, ).

        Returns:
            Tensor: Of shape (n, T, D), float32.
        """
        part = np.searchsorted(self.starts, rows, 'right') - 1  # (n, )
        if len(rows) and part[0] == part[-1] and (part == part[0]).all():
            return self.segments[part[0]].read(rows - self.starts[part[0]])
        shape = (len(rows), self.manifest.vectors, self.manifest.dim)
        out = torch.empty(shape)
        for number in np.unique(part).tolist():
            own = (part == number).nonzero()[0]
            start = self.starts[number]
            out[own] = self.segments[number].read(rows[own] - start)
        return out

    def column(self, name: str, rows: np.ndarray) -> list:
        """Read the values of a column.

        Args:
            name (str): The column.
            rows (ndarray): Rows in any order, (n, ).

        Returns:
            list: n values, None where one is missing.
        """
        if len(self.segments) == 1 and len(rows) <= _FEW:
            values = self.segments[0].column(name)
            return [values[row].as_py() for row in rows.tolist()]
        return self.array(name, rows).to_pylist()

    def name_rows(self, rows: np.ndarray) -> tuple[list[str], list[str]]:
        """Read the ids and paths of items.

        Args:
            rows (ndarray): Rows in any order, (n, ).

        Returns:
            tuple[list[str], list[str]]: Both of n texts.
        """
        return self.column('id', rows), self.column('path', rows)

    def array(self, name: str, rows: np.ndarray) -> Any:
        """Read the values of a column as an array.

        Args:
            name (str): The column.
            rows (ndarray): Rows in any order, (n, ).

        Returns:
            pyarrow.Array: n values.
        """
        pa = arrow()
        if len(self.segments) == 1:
            return self.segments[0].column(name).take(pa.array(rows))
        kind = arrow_type({**OWN, **self.manifest.columns}[name])
        part = np.searchsorted(self.starts, rows, 'right') - 1  # (n, )
        found, order = [], []
        for number in np.unique(part).tolist():
            own = (part == number).nonzero()[0]
            some = pa.array(rows[own] - self.starts[number])
            found.append(self.segments[number].column(name).take(some))
            order.append(own)
        if not found:
            return pa.nulls(0, kind)
        whole = pa.concat_arrays(found)
        if len(found) == 1:
            return whole
        return whole.take(pa.array(np.argsort(np.concatenate(order))))

    def nearest(
        self, query: np.ndarray, num: int, allowed: np.ndarray | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find the items whose pooled vectors have the largest products.

        Args:
            query (ndarray): Of shape (Q, D), float32.
            num (int): How many K.
            allowed (ndarray, optional): Result of :meth:`allowed`.

        Returns:
            list[tuple[ndarray, ndarray]]: Products and rows of each query,
            both (<= K, ), largest first, of equal ones the first row.
        """
        scores: list[np.ndarray] = []
        places: list[np.ndarray] = []
        spans = pairwise(self.starts.tolist())
        for segment, (start, stop) in zip(self.segments, spans, strict=True):
            mask = None if allowed is None else allowed[start:stop]
            if mask is not None and not mask.any():
                continue
            score, row = segment.pooled.nearest(query, num, mask)
            scores.append(score)
            places.append(np.where(row < 0, -1, row + start) if start else row)
        if not scores:
            none = np.zeros(0, np.float32), np.zeros(0, np.int64)
            return [none for _ in query]
        if len(scores) > 1:
            scores, places = [np.hstack(scores)], [np.hstack(places)]
        pairs = zip(scores[0], places[0], strict=True)
        return [_ordered(*pair, num) for pair in pairs]

    def damage(self) -> list[str]:
        """Read everything and say what is wrong.

        Returns:
            list[str]: What is damaged, empty if nothing is.
        """
        found = [
            f.damage(self.folder, whole=True) for f in self.manifest.files
        ]
        found += [segment.damage() for segment in self.segments]
        ids = self.column('id', self.all_rows())
        if len(set(ids)) != len(ids):
            again = len(ids) - len(set(ids))
            found.append(f'{again} ids are there more than once')
        return [told for told in found if told]


def _ordered(
    values: np.ndarray, rows: np.ndarray, num: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sort products and rows (K, ) of a query, without rows of -1."""
    # One flat segment gives them in order, unless some are equal.
    if rows[-1] < 0 or not (values[:-1] > values[1:]).all():
        values, rows = values[rows >= 0], rows[rows >= 0]
        order = np.lexsort((rows, -values))
        values, rows = values[order], rows[order]
    return values[:num], rows[:num]


def newest_generation(folder: Path) -> Generation:
    """Open the current state of a store, also while another is written.

    Args:
        folder (Path): The store.

    Returns:
        Generation: The state.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If it is damaged or of a newer mmtpr.
    """
    for _ in range(_TRIES):
        manifest = read_manifest(folder)
        try:
            return Generation(folder, manifest)
        except (ValueError, OSError, RuntimeError):
            # A writer may have removed the files meanwhile.
            if read_manifest(folder).generation == manifest.generation:
                raise
            time.sleep(_PAUSE)
    raise ValueError(
        f'The store "{folder}" is rewritten faster than it can be opened. '
        'Write fewer items at a time less often.'
    )


def rows_of(places: dict[str, int], ids: Sequence[str]) -> np.ndarray:
    """Find the rows of items.

    Args:
        places (dict[str, int]): Rows by id.
        ids (Sequence[str]): The n items.

    Returns:
        ndarray: Their rows, (n, ).

    Raises:
        ValueError: If one is not there.
    """
    absent = [name for name in ids if name not in places]
    if absent:
        raise ValueError(
            f'{len(absent)} of {len(ids)} ids are not in the store, e.g. '
            f'"{absent[0]}".'
        )
    return np.array([places[name] for name in ids], dtype=np.int64)
