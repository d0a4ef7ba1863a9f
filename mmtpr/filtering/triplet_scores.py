"""The file that holds what judges say of the triplets of a dataset."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .scores import read_arrays, write_arrays

#: Version of the file format.
TRIPLET_VERSION = 1
_GUIDE = 'See docs/user_guides/data_engine.md.'


@dataclass
class TripletScores:
    """Fields of every triplet of a dataset, in the dataset's order.

    Attributes:
        columns (dict[str, ndarray]): Values by field, (N, ) float32 each; NaN
            where a judge said nothing.
        meta (dict): ``version``, ``data`` (``fingerprint``, ``length``) and
            ``judges``.
    """

    columns: dict[str, np.ndarray]
    meta: dict[str, Any]

    def __len__(self) -> int:
        return int(self.meta['data']['length'])


def save_triplet_scores(
    path: str | os.PathLike,
    columns: Mapping[str, np.ndarray],
    fingerprint: str,
    judges: Mapping[str, Any],
) -> None:
    """Write a file of scores; it appears whole or not at all.

    Args:
        path (str | PathLike): The file, ending in ``.npz``.
        columns (Mapping[str, ndarray]): Values by field, (N, ) each.
        fingerprint (str): Of the triplets.
        judges (Mapping[str, Any]): What tells the judges, plain values.
    """
    length = len(next(iter(columns.values())))
    meta = dict(
        version=TRIPLET_VERSION,
        data=dict(fingerprint=fingerprint, length=length),
        judges=dict(judges),
        fields=list(columns),
    )
    arrays = {
        f'field_{i}': np.asarray(values, np.float32)
        for i, values in enumerate(columns.values())
    }
    write_arrays(path, meta=np.array(json.dumps(meta)), **arrays)


def load_triplet_scores(path: str | os.PathLike) -> TripletScores:
    """Read a file of scores.

    Args:
        path (str | PathLike): The file.

    Returns:
        TripletScores: Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else, or is of a later version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'The triplet scores "{path}" do not exist. '
            f'tools/synthesis/assemble_triplets.py writes some. {_GUIDE}'
        )
    try:
        meta = json.loads(str(read_arrays(path, ('meta',))['meta']))
        version, fields = int(meta['version']), list(meta['fields'])
        length = int(meta['data']['length'])
        str(meta['data']['fingerprint'])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'"{path}" holds no triplet scores. {_GUIDE}'
        ) from error
    if version > TRIPLET_VERSION:
        raise ValueError(
            f'"{path}" was written by a newer mmtpr. Update mmtpr.'
        )
    names = tuple(f'field_{i}' for i in range(len(fields)))
    try:
        arrays = read_arrays(path, names)
    except ValueError as error:
        raise ValueError(f'"{path}" is damaged: {error.__cause__}.') from error
    columns = {f: arrays[n] for f, n in zip(fields, names, strict=True)}
    wrong = [f for f, v in columns.items() if v.shape != (length,)]
    if wrong:
        raise ValueError(
            f'"{path}" is damaged: "{wrong[0]}" has not {length} values.'
        )
    return TripletScores(columns, meta)
