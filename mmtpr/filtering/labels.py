"""Labels of pairs: which somebody found right, and which wrong."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.utils import read_json

from .report import load_truth

_VALUES = {'0': False, 'false': False, 'no': False,
           '1': True, 'true': True, 'yes': True}  # fmt: skip
_GUIDE = 'See docs/user_guides/filtering.md.'


def load_labels(path: str | os.PathLike, length: int) -> dict[int, bool]:
    """Read which pairs are wrong, of all pairs or of those looked at.

    Args:
        path (str | PathLike): ``.csv`` with the columns ``pair``, the index
            from 0 on, and ``wrong``, 0 or 1, or nothing where nobody looked;
            ``.json`` with a list of records with these two; or a truth file,
            see :func:`mmtpr.filtering.report.load_truth`.
        length (int): Number N of pairs.

    Returns:
        dict[int, bool]: Whether a pair is wrong, by its index.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    path = Path(path)
    if path.suffix == '.csv':
        return _from_rows(_read_csv(path), path, length)
    content = read_json(path, 'file of labels')
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and 'pair' in first:
        return _from_rows(content, path, length)
    kinds, _ = load_truth(path, length)
    return dict(enumerate((kinds != 0).tolist()))


def draw_labels(
    labels: dict[int, bool], num: int, seed: int = 0
) -> dict[int, bool]:
    """Draw some labels, so that the others can tell how good a fit is.

    Args:
        labels (dict[int, bool]): Whether a pair is wrong, by its index.
        num (int): How many to draw.
        seed (int): Seed of the draw. Defaults to 0.

    Returns:
        dict[int, bool]: Those that were drawn.

    Raises:
        ValueError: If there are fewer.
    """
    if num > len(labels):
        raise ValueError(
            f'{num} labels are to be drawn, but there are {len(labels)}.'
        )
    index = np.array(sorted(labels))
    drawn = np.random.default_rng(seed).choice(index, num, replace=False)
    return {i: labels[i] for i in sorted(drawn.tolist())}


def _read_csv(path: Path) -> list[dict]:
    if not path.is_file():
        raise FileNotFoundError(f'The file of labels "{path}" does not exist.')
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f'The file of labels "{path}" is no csv in UTF-8 ({error}).'
        ) from error


def _from_rows(rows: list, path: Path, length: int) -> dict[int, bool]:
    labels: dict[int, bool] = {}
    skipped = 0
    for number, row in enumerate(rows, 1):
        where = f'Row {number} of the labels "{path}"'
        if not isinstance(row, dict) or not {'pair', 'wrong'} <= row.keys():
            raise ValueError(
                f'{where} lacks "pair" or "wrong", the index of a pair and 0 '
                f'or 1. {_GUIDE}'
            )
        if row['wrong'] is None or not str(row['wrong']).strip():
            skipped += 1
            continue
        pair, wrong = _pair(row['pair'], length, where), _wrong(row, where)
        if labels.setdefault(pair, wrong) != wrong:
            raise ValueError(f'{where} contradicts another on pair {pair}.')
    if skipped:
        print_log(
            f'Labels of "{path}": {skipped} of {len(rows)} rows say nothing '
            f'under "wrong" and do not count; {len(labels)} pairs do.',
            logger='current',
        )
    if not labels:
        raise ValueError(f'The file of labels "{path}" labels no pair.')
    return labels


def _pair(value: Any, length: int, where: str) -> int:
    text = str(value).strip()
    if not text.isdecimal() or int(text) >= length:
        raise ValueError(
            f'{where} has the pair {value!r}; the scores have the pairs 0 to '
            f'{length - 1}.'
        )
    return int(text)


def _wrong(row: dict, where: str) -> bool:
    text = str(row['wrong']).strip().lower()
    if text not in _VALUES:
        raise ValueError(
            f'{where} has {row["wrong"]!r} under "wrong"; it is 0 or 1.'
        )
    return _VALUES[text]
