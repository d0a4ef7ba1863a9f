"""Scores in the forms that other tools read: uids, parquet, csv.

A uid names a pair by 128 bits. Where entries carry one, 32 hexadecimal digits
as in DataComp's metadata, it is taken; elsewhere it is a hash of the image's
path, from the folder that all images share, and the caption, so that it does
not depend on where the data lie.
"""

import csv
import hashlib
import os
import re
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.structures.pairs import Pairs, relative_names
from mmtpr.utils import atomic_write
from mmtpr.utils.lazy import require

from .scores import RelevanceScores

#: Halves of a uid, as DataComp's lists of uids hold them.
UID_DTYPE = np.dtype('u8,u8')
_HEX = re.compile(r'[0-9a-f]{32}')
_ROWS = 65536
#: Column of the score in a table.
SCORE_NAME = 'relevance_score'


def pair_uids(pairs: Pairs, key: str | None = None) -> np.ndarray:
    """Give each pair of a dataset its uid.

    Args:
        pairs (Pairs): N pairs.
        key (str, optional): Key of the uid in an entry. Defaults to None: it
            is made of path and caption.

    Returns:
        np.ndarray: (N, ), :data:`UID_DTYPE`. The log says how many pairs
        share their uid with another one.

    Raises:
        ValueError: If an entry has no uid of 32 hexadecimal digits.
    """
    uids = np.empty(len(pairs), UID_DTYPE)
    names = _given(pairs, key) if key else _made(pairs)
    for index, name in enumerate(names):
        uids[index] = int(name[:16], 16), int(name[16:], 16)
    repeated = len(uids) - len(np.unique(uids))
    if repeated:
        print_log(
            f'{repeated} of {len(uids)} pairs have the uid of an earlier one; '
            'a list of uids cannot tell them apart.',
            logger='current',
        )
    return uids


def uid_text(uid: Any) -> str:
    """Write a uid as text.

    Args:
        uid (np.void): An element of :data:`UID_DTYPE`.

    Returns:
        str: 32 hexadecimal digits.
    """
    return f'{int(uid[0]):016x}{int(uid[1]):016x}'


def write_uids(path: str | os.PathLike, uids: np.ndarray) -> None:
    """Write a list of uids, sorted, as DataComp's resharder reads it.

    Args:
        path (str | PathLike): ``.npy`` file.
        uids (np.ndarray): Of the pairs that stay, :data:`UID_DTYPE`.
    """
    with atomic_write(path) as file:
        np.save(file, np.sort(uids), allow_pickle=False)


def write_parquet(
    path: str | os.PathLike,
    pairs: Pairs,
    uids: np.ndarray,
    scores: RelevanceScores,
    score_name: str = SCORE_NAME,
) -> None:
    """Write scores as a table with a row a pair, in blocks.

    Args:
        path (str | PathLike): ``.parquet`` file. Columns: ``uid``, ``path``
            (from the folder that all images share), ``text``,
            ``relevance_rank`` and the score.
        pairs (Pairs): N pairs.
        uids (np.ndarray): Their uids.
        scores (RelevanceScores): Their scores.
        score_name (str): Name of the score's column; DataComp's baselines
            read ``clip_l14_similarity_score``. Defaults to
            ``'relevance_score'``.

    Raises:
        ImportError: If pyarrow is not installed.
        ValueError: If the score would be named as another column.
    """
    others = ('uid', 'path', 'text', 'relevance_rank')
    if not score_name or score_name in others:
        raise ValueError(
            f'The column of the score cannot be named "{score_name}"; the '
            f'others are {", ".join(others)}.'
        )
    purpose = 'Writing parquet'
    arrow = require('pyarrow', 'filtering', purpose)
    parquet = require('pyarrow.parquet', 'filtering', purpose)
    schema = arrow.schema(
        [
            ('uid', arrow.string()),
            ('path', arrow.string()),
            ('text', arrow.string()),
            ('relevance_rank', arrow.int32()),
            (score_name, arrow.float32()),
        ]
    )
    names = relative_names(pairs.paths)
    with (
        atomic_write(path) as file,
        parquet.ParquetWriter(file, schema) as writer,
    ):
        for start in range(0, len(pairs), _ROWS):
            part = slice(start, start + _ROWS)
            columns = [
                [uid_text(uid) for uid in uids[part]],
                names[part],
                pairs.captions[part],
                scores.rank[part],
                scores.score[part],
            ]
            writer.write_table(arrow.table(columns, schema=schema))


def write_csv(
    path: str | os.PathLike, columns: list[str], rows: list[tuple]
) -> None:
    """Write a table as csv in UTF-8.

    Args:
        path (str | PathLike): The file.
        columns (list[str]): Names of the columns.
        rows (list[tuple]): The rows.
    """
    with atomic_write(path, 'w') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(columns)
        writer.writerows(rows)


def _made(pairs: Pairs):
    for name, caption in zip(
        relative_names(pairs.paths), pairs.captions, strict=True
    ):
        both = f'{len(name)}:{name}{caption}'.encode('utf-8', 'surrogatepass')
        yield hashlib.blake2b(both, digest_size=16).hexdigest()


def _given(pairs: Pairs, key: str):
    for index in range(len(pairs)):
        value = pairs.dataset.get_data_info(index).get(key)
        text = value.lower() if isinstance(value, str) else ''
        if not _HEX.fullmatch(text):
            raise ValueError(
                f'Entry {index} has {value!r} under "{key}" where a uid of 32 '
                'hexadecimal digits is needed. Leave the key out: uids are '
                'then made of path and caption.'
            )
        yield text
