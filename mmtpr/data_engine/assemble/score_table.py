"""Pairs of a run with the fields of all judges, as compact arrays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmtpr.utils.errors import LaunchError

from ..block_files import Row
from ..stage_folder import StageFolder


@dataclass
class ScoreTable:
    """What judges say of the pairs of a run.

    A pair takes a few bytes a field; rows stay on disk.

    Attributes:
        keys (ndarray): Index of the record and of the pair, (N, 2), int32.
        columns (dict[str, ndarray]): Values by ``judge.field``, (N, ),
            float32; NaN where a judge said nothing.
        faults (list[str]): Kinds of planted faults that there are, the first
            ``''`` for none; empty where the truth is not known.
        kinds (ndarray): Index into ``faults`` of each pair, (N, ), uint8.
        unreadable (dict[str, int]): By judge, pairs it could not read.
    """

    keys: np.ndarray
    columns: dict[str, np.ndarray]
    faults: list[str] = field(default_factory=list)
    kinds: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    unreadable: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)


def read_table(
    render: StageFolder, judges: Mapping[str, StageFolder]
) -> ScoreTable:
    """Read the scores of all judges.

    Args:
        render (StageFolder): The pairs.
        judges (Mapping[str, StageFolder]): Scores by name of the judge.

    Returns:
        ScoreTable: In the order of the pairs.

    Raises:
        LaunchError: If a stage is not done, or judged pairs of another run.
    """
    render.check_done()
    for name, folder in judges.items():
        folder.check_done()
        if render.facts['id'] not in folder.facts['sources']:
            raise LaunchError(
                f'The judge "{name}" judged pairs of another run: run it '
                'again in another folder.'
            )
    keys: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] = {}
    kinds: list[np.ndarray] = []
    faults: list[str] = ['']
    knows_truth = False
    unreadable = dict.fromkeys(judges, 0)
    for block in range(render.num_blocks):
        rows = list(render.read(block))
        keys.append(_keys(rows))
        kinds.append(np.array([_fault(row, faults) for row in rows], np.uint8))
        knows_truth |= any('truth' in row for row in rows)
        place = {row['key']: i for i, row in enumerate(rows)}
        found: dict[str, np.ndarray] = {}
        for name, folder in judges.items():
            for row in folder.read(block):
                unreadable[name] += bool(row.get('unreadable'))
                at = place.get(row['key'])
                for key, value in (row.get('scores') or {}).items():
                    column = found.setdefault(
                        f'{name}.{key}', np.full(len(rows), np.nan, np.float32)
                    )
                    if at is not None and value is not None:
                        column[at] = value
        for name in {*parts, *found}:
            filled = parts.setdefault(name, _nothing(keys[:-1]))
            empty = np.full(len(rows), np.nan, np.float32)
            filled.append(found.get(name, empty))
    return ScoreTable(
        np.concatenate([np.zeros((0, 2), np.int32), *keys]),
        {k: np.concatenate(v) for k, v in sorted(parts.items())},
        faults if knows_truth else [],
        np.concatenate([np.zeros(0, np.uint8), *kinds]),
        unreadable,
    )


def read_pairs_of(
    write: StageFolder, render: StageFolder
) -> Iterator[tuple[Row, Row]]:
    """Read every pair with its record.

    Args:
        write (StageFolder): The records.
        render (StageFolder): The pairs.

    Yields:
        tuple[dict, dict]: Record and pair, in the order of the pairs.
    """
    for block in range(render.num_blocks):
        records = {row['index']: row for row in write.read(block)}
        for row in render.read(block):
            yield records[row['index']], row


def _keys(rows: list[Row]) -> np.ndarray:
    pairs = [(row['index'], row['pair']) for row in rows]
    return np.array(pairs, np.int32).reshape(-1, 2)


def _nothing(keys: list[np.ndarray]) -> list[np.ndarray]:
    return [np.full(len(some), np.nan, np.float32) for some in keys]


def _fault(row: Row, faults: list[str]) -> int:
    truth: dict[str, Any] = row.get('truth') or {}
    name = truth.get('fault') or ''
    if name not in faults:
        faults.append(name)
    return faults.index(name)
