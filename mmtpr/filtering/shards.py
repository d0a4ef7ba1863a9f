"""Finished parts of a scoring run, kept until all are there."""

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.utils import atomic_write, read_json

from .result_files import read_arrays, write_arrays

_DESCRIPTION = 'run.json'


class ShardStore:
    """A folder of score shards that belong to one run.

    A shard is a stretch of consecutive pairs. It is written whole or not at
    all, so a killed run loses only the shards it was working on.

    Args:
        folder (str | PathLike): The folder, made by :meth:`create`.
        run (Mapping): What decides the scores: fingerprints of data, scorer
            and bank, precision. Plain values.
        length (int): Number of pairs.
        shard_size (int): Pairs a shard. Defaults to 8192.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        run: Mapping[str, Any],
        length: int,
        shard_size: int = 8192,
    ) -> None:
        if shard_size < 1:
            raise ValueError(f'shard_size must be positive: {shard_size}.')
        self.folder = Path(folder)
        self.run = dict(run, length=length, shard_size=shard_size)
        self.length = length
        self.shard_size = shard_size

    def __len__(self) -> int:
        """Number of shards."""
        return -(-self.length // self.shard_size)

    def bounds(self, index: int) -> tuple[int, int]:
        """First and last-plus-one pair of a shard.

        Args:
            index (int): Number of the shard.

        Returns:
            tuple[int, int]: Start and stop.
        """
        start = index * self.shard_size
        return start, min(start + self.shard_size, self.length)

    def create(self) -> None:
        """Make the folder, or check that it belongs to this run.

        Raises:
            ValueError: If it holds something else; nothing is removed.
        """
        path = self.folder / _DESCRIPTION
        names = {p.name for p in self.folder.glob('*')}
        if path.is_file() and names != {_DESCRIPTION}:
            self._check_run(read_json(path, 'description of the shards'))
            return
        if names - {_DESCRIPTION}:
            raise ValueError(
                f'The folder "{self.folder}" is needed for finished parts, '
                'but holds other files. Choose another output.'
            )
        with atomic_write(path, 'w') as file:
            json.dump(self.run, file, indent=2, sort_keys=True)

    def pending(self) -> list[int]:
        """Shards still to be scored.

        Damaged shards are among them.

        Returns:
            list[int]: Their numbers.
        """
        return [i for i in range(len(self)) if self._read(i) is None]

    def save(self, index: int, rank: np.ndarray, score: np.ndarray) -> None:
        """Write a finished shard.

        Args:
            index (int): Number of the shard.
            rank (np.ndarray): Ranks of its pairs.
            score (np.ndarray): Relevances of its pairs.
        """
        write_arrays(
            self._path(index),
            rank=np.asarray(rank, dtype=np.int32),
            score=np.asarray(score, dtype=np.float32),
        )

    def merge(self) -> tuple[np.ndarray, np.ndarray]:
        """Put the shards together.

        Returns:
            tuple[np.ndarray, np.ndarray]: Ranks and relevances of all pairs.

        Raises:
            RuntimeError: If shards are missing.
        """
        parts = [self._read(i) for i in range(len(self))]
        missing = [i for i, part in enumerate(parts) if part is None]
        if missing:
            raise RuntimeError(
                f'{len(missing)} of {len(self)} shards are missing in '
                f'"{self.folder}", the first is {missing[0]}. All processes '
                'must see the same folder; run the command again to score '
                'what is missing.'
            )
        ranks, scores = zip(*parts, strict=True)
        return np.concatenate(ranks), np.concatenate(scores)

    def remove(self) -> None:
        """Remove the shards and, if nothing else is in it, the folder."""
        for index in range(len(self)):
            self._path(index).unlink(missing_ok=True)
        (self.folder / _DESCRIPTION).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, index: int) -> Path:
        return self.folder / f'shard_{index:06d}.npz'

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        path = self._path(index)
        if not path.is_file():
            return None
        start, stop = self.bounds(index)
        try:
            arrays = read_arrays(path, ('rank', 'score'))
            if all(len(a) == stop - start for a in arrays.values()):
                return arrays['rank'], arrays['score']
        except (ValueError, TypeError):
            pass
        print_log(
            f'The shard "{path}" is damaged and is scored again.',
            logger='current',
            level=logging.WARNING,
        )
        return None

    def _check_run(self, found: Mapping[str, Any]) -> None:
        keys = sorted({*found, *self.run})
        other = [k for k in keys if found.get(k) != self.run.get(k)]
        if not other:
            return
        details = '; '.join(
            f'{key}: {found.get(key)} there, {self.run.get(key)} now'
            for key in other
        )
        raise ValueError(
            f'The unfinished scores in "{self.folder}" belong to another run '
            f'({details}). Finish that run, remove the folder, or choose '
            'another output.'
        )
