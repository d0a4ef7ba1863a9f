"""Numbers that runs have logged: json files of mmengine, a row a line."""

import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Keys of a row that say where it stands.
_POSITION = ('epoch', 'iter', 'step')
#: Ends of an axis are computed from differences, which must not overflow.
_MOST = 1e300
_STAMPED = re.compile(r'\d{8}_\d{6}\.json')


@dataclass
class RunLog:
    """What the logs of a run hold.

    Attributes:
        label (str): Name of the run.
        series (dict): By key and axis, ``'iteration'`` or ``'epoch'``: steps,
            ascending, and the values there.
        notes (list[str]): What was joined and what was skipped.
    """

    label: str
    series: dict[tuple[str, str], tuple[list[int], list[float]]]
    notes: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """Keys that were logged, sorted."""
        return sorted({key for key, _ in self.series})


def read_run(path: str | os.PathLike, label: str) -> RunLog:
    """Read the logs of a run.

    A work dir has a log for each time the run was started. They are joined by
    step: from the first step of a log on, rows of earlier ones do not count.

    Args:
        path (str | PathLike): A work dir, one of the folders with a time in
            it, or a json log.
        label (str): Name of the run.

    Returns:
        RunLog: The numbers.

    Raises:
        FileNotFoundError: If there is no such file, or no log in the folder.
        ValueError: If not one line is a row of a log.
    """
    notes, logs = [], []
    for file in find_logs(path):
        rows, damaged, lost = _read_rows(file)
        if damaged:
            notes.append(
                f'{label}: damaged lines skipped in "{file}": {damaged}.'
            )
        if lost:
            notes.append(
                f'{label}: rows without a step, as of a test, left out of '
                f'"{file}": {lost}.'
            )
        if rows:
            logs.append(rows)
    if not logs:
        raise ValueError(
            f'"{path}" is not a log of a run: no line has a step and numbers.'
        )
    joined, replaced = _join(logs)
    if len(logs) > 1:
        notes.append(
            f'{label}: {len(logs)} logs joined by step; rows replaced by a '
            f'later log: {replaced}.'
        )
    series, beyond = _series(joined)
    if beyond:
        notes.append(
            f'{label}: values beyond +-{_MOST:g}, which no axis holds, left '
            f'out: {beyond}.'
        )
    return RunLog(label, series, notes)


def find_logs(path: str | os.PathLike) -> list[Path]:
    """Find the json logs of a run, the earliest first.

    Args:
        path (str | PathLike): See :func:`read_run`.

    Returns:
        list[Path]: The files.

    Raises:
        FileNotFoundError: If there are none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f'The run "{path}" does not exist.')
    for place in ('*/vis_data/', 'vis_data/', '', '*/'):
        found = [*path.glob(f'{place}scalars.json')] or [
            file
            for file in path.glob(f'{place}*.json')
            if _STAMPED.fullmatch(file.name)
        ]
        if found:
            return sorted(found)
    raise FileNotFoundError(
        f'There is no log of a run in "{path}": neither '
        'TIME/vis_data/scalars.json nor TIME.json.'
    )


def require_keys(runs: Sequence[RunLog], keys: Iterable[str]) -> None:
    """Check that keys were logged.

    Args:
        runs (Sequence[RunLog]): The runs.
        keys (Iterable[str]): Keys that one of them must have.

    Raises:
        ValueError: If none has a key, naming those that exist.
    """
    known = {key for run in runs for key in run.keys}
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(
            f'No run has logged "{unknown[0]}"; there is: '
            f'{", ".join(sorted(known))}.'
        )


def _read_rows(file: Path) -> tuple[list[dict], int, int]:
    """Rows of a log, how many lines are none, and how many have no step."""
    rows, damaged, lost = [], 0, 0
    text = file.read_bytes().decode('utf-8-sig', errors='replace')
    for line in filter(str.strip, text.split('\n')):
        try:
            row = json.loads(line)
        except ValueError:
            damaged += 1
            continue
        # The result of a test stands in such a file too, without a step.
        if isinstance(row, dict) and isinstance(row.get('step'), int):
            rows.append(row)
        else:
            lost += 1
    return rows, damaged, lost


def _join(logs: list[list[dict]]) -> tuple[dict[str, list[dict]], int]:
    """Rows of successive logs by axis, and how many are replaced.

    Training counts iterations. Validation counts epochs, in a run by
    iterations these or nothing; then it stands where training was.
    """
    train = [row for rows in logs for row in rows if 'iter' in row]
    by_epoch = not train or any('epoch' in row for row in train)
    joined: dict[str, list[dict]] = dict(iteration=[], epoch=[])
    replaced = 0
    for rows in logs:
        own: dict[str, list[dict]] = dict(iteration=[], epoch=[])
        last = 0
        for row in rows:
            if 'iter' in row:
                last = row['step']
            elif not by_epoch:
                row = {**row, 'step': row['step'] or last}
            is_epoch = by_epoch and 'iter' not in row
            own['epoch' if is_epoch else 'iteration'].append(row)
        for axis, later in own.items():
            first = min((row['step'] for row in later), default=math.inf)
            kept = [row for row in joined[axis] if row['step'] < first]
            replaced += len(joined[axis]) - len(kept)
            joined[axis] = kept + later
    return joined, replaced


def _series(
    joined: dict[str, list[dict]],
) -> tuple[dict[tuple[str, str], tuple[list[int], list[float]]], int]:
    """Points by key and axis, and how many values no axis holds."""
    beyond = 0
    points: dict[tuple[str, str], dict[int, float]] = {}
    for axis, rows in joined.items():
        for row in rows:
            for key, value in row.items():
                number = isinstance(value, int | float)
                if number and key not in _POSITION:
                    at = points.setdefault((key, axis), {})
                    # Infinite ones are a gap in the curve anyway.
                    too_large = _MOST < abs(value) < math.inf
                    beyond += too_large
                    at[row['step']] = math.nan if too_large else float(value)
    series = {
        name: (sorted(at), [at[step] for step in sorted(at)])
        for name, at in points.items()
    }
    return series, beyond
