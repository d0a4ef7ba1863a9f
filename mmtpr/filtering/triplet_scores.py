"""The file that holds what judges say of the triplets of a dataset."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .result_files import ResultFile, write_arrays

#: Version of the file format.
TRIPLET_VERSION = 1
#: The files of scores.
TRIPLET_FILE = ResultFile(
    what='triplet scores',
    version=TRIPLET_VERSION,
    cure='tools/synthesis/assemble_triplets.py writes some beside the '
    'triplets. See docs/user_guides/data_engine.md.',
    unit='triplets',
)


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
    meta, _ = TRIPLET_FILE.describe(path)
    fields, length = meta.get('fields'), meta['data']['length']
    if type(fields) is not list:
        raise TRIPLET_FILE.damaged(path, 'its description lacks fields')
    names = [f'field_{i}' for i in range(len(fields))]
    arrays = TRIPLET_FILE.arrays(path, names)
    columns = {f: arrays[n] for f, n in zip(fields, names, strict=True)}
    wrong = [f for f, v in columns.items() if v.shape != (length,)]
    if wrong:
        why = f'"{wrong[0]}" has not {length} values'
        raise TRIPLET_FILE.damaged(path, why)
    return TripletScores(columns, meta)
