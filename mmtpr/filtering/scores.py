"""The file that holds the relevance scores of a dataset."""

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmtpr.structures.pairs import Pairs, dataset_name
from mmtpr.utils import atomic_write

#: Version of the file format.
VERSION = 1
_GUIDE = 'See docs/user_guides/filtering.md.'
_META_KEYS = ('version', 'data', 'scorer', 'bank')
#: What is read of each part.
_META_FACTS: dict[str, dict[str, type]] = dict(
    data=dict(fingerprint=str, name=str, length=int),
    scorer={},
    bank=dict(size=int),
)


@dataclass
class RelevanceScores:
    """Relevance of every pair of a dataset, in the dataset's order.

    Attributes:
        rank (np.ndarray): Rank of the own caption, (N, ), int32, 1 = best.
        score (np.ndarray): Relevance, (N, ), float32; -inf where the image
            could not be read.
        meta (dict): ``version``; ``data`` (fingerprint, name, length and,
            where it is known, the fingerprint ``serialized`` that is
            quick to compare);
            ``scorer`` (config, checkpoint, fingerprint of the weights,
            precision); ``bank`` (fingerprint, source, size, seed).
    """

    rank: np.ndarray
    score: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ranks = np.asarray(self.rank)
        wrong = np.flatnonzero(~((ranks >= 1) & (ranks == np.floor(ranks))))
        if len(wrong):
            raise ValueError(
                f'{len(wrong)} ranks are no whole numbers from 1 on, first '
                f'{ranks.flat[wrong[0]]} of pair {wrong[0]}.'
            )
        bank = self.meta.get('bank') if isinstance(self.meta, dict) else None
        size = bank.get('size') if isinstance(bank, dict) else None
        most = size + 1 if isinstance(size, int) else np.iinfo(np.int32).max
        if ranks.size and ranks.max() > most:
            where = int(ranks.argmax())
            raise ValueError(
                f'The rank {ranks.flat[where]} of pair {where} is above '
                f'{most}, the last there can be.'
            )
        self.rank = ranks.astype(np.int32)
        self.score = np.asarray(self.score, dtype=np.float32)
        if self.rank.ndim != 1 or self.rank.shape != self.score.shape:
            raise ValueError(
                'rank and score must be vectors of the same length, got '
                f'{self.rank.shape} and {self.score.shape}.'
            )

    def __len__(self) -> int:
        return len(self.rank)

    @property
    def unreadable(self) -> int:
        """Number of pairs whose image could not be read."""
        return int((~np.isfinite(self.score)).sum())


def save_scores(path: str | os.PathLike, scores: RelevanceScores) -> None:
    """Write a score file; it appears whole or not at all.

    Args:
        path (str | PathLike): The file, ending in ``.npz``.
        scores (RelevanceScores): What to write.
    """
    write_arrays(
        path,
        rank=scores.rank,
        score=scores.score,
        meta=np.array(json.dumps(scores.meta, sort_keys=True)),
    )


def load_scores(path: str | os.PathLike) -> RelevanceScores:
    """Read a score file.

    Args:
        path (str | PathLike): The file.

    Returns:
        RelevanceScores: Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a score file, damaged, or of a later version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'The relevance scores "{path}" do not exist. Write them with: '
            f'python tools/filtering/score_relevance.py CONFIG CHECKPOINT '
            f'--bank BANK --out {path}. {_GUIDE}'
        )
    arrays = read_arrays(path, ('rank', 'score', 'meta'))
    try:
        meta = json.loads(str(arrays['meta']))
    except json.JSONDecodeError as error:
        raise _damaged(path, str(error)) from error
    if why := _wrong_description(meta):
        raise _damaged(path, why)
    if meta['version'] > VERSION:
        raise ValueError(
            f'The relevance scores "{path}" have version {meta["version"]}, '
            f'this mmtpr reads up to {VERSION}. Update mmtpr.'
        )
    try:
        scores = RelevanceScores(arrays['rank'], arrays['score'], meta)
    except ValueError as error:
        raise _damaged(path, str(error).rstrip('.')) from error
    if len(scores) != meta['data']['length']:
        raise _damaged(
            path, f'{len(scores)} scores for {meta["data"]["length"]} pairs'
        )
    return scores


def check_scored(
    scores: RelevanceScores, pairs: Pairs, source: str | os.PathLike
) -> None:
    """Check that scores were made from some pairs.

    Args:
        scores (RelevanceScores): The scores.
        pairs (Pairs): The pairs.
        source (str | PathLike): File of the scores, for the message.

    Raises:
        ValueError: If they are of other data.
    """
    theirs = scores.meta['data']
    if pairs.fingerprint != theirs['fingerprint']:
        raise ValueError(
            f'"{source}" belongs to {theirs["name"]} with {len(scores)} '
            f'pairs, but the dataset here is {dataset_name(pairs.dataset)} '
            f'with {len(pairs)} pairs of other content.'
        )


def write_arrays(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Write arrays to a ``.npz`` file that appears whole or not at all.

    Args:
        path (str | PathLike): The file.
        **arrays (np.ndarray): Arrays by name, none of dtype object.
    """
    with atomic_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(
    path: str | os.PathLike, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Read arrays from a ``.npz`` file without unpickling.

    Args:
        path (str | PathLike): The file.
        names (tuple[str, ...]): Arrays that must be there.

    Returns:
        dict[str, np.ndarray]: The arrays.

    Raises:
        ValueError: If the file is damaged or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (KeyError, ValueError, OSError, EOFError, TypeError) as error:
        raise _damaged(path, str(error)) from error
    except zipfile.BadZipFile as error:
        raise _damaged(path, str(error)) from error


def _wrong_description(meta: Any) -> str:
    """Say what of a description is missing or of another type."""
    if not isinstance(meta, dict):
        return 'its description is no dict'
    missing = [key for key in _META_KEYS if key not in meta]
    if missing:
        return f'its description lacks {", ".join(missing)}'
    if type(meta['version']) is not int:
        return f'version={meta["version"]!r} of its description is no number'
    for part, facts in _META_FACTS.items():
        for fact, kind in facts.items():
            inner = meta[part].get(fact) if type(meta[part]) is dict else None
            if type(inner) is not kind:
                return (
                    f'{part}.{fact} of its description is {inner!r}, no '
                    f'{kind.__name__}'
                )
    return ''


def _damaged(path: str | os.PathLike, why: str) -> ValueError:
    return ValueError(
        f'"{path}" is not a file of relevance scores or is damaged ({why}). '
        'Write it again with tools/filtering/score_relevance.py.'
    )
