"""The file that holds the relevance scores of a dataset."""

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmtpr.structures.pairs import Pairs

from .result_files import ResultFile, write_arrays

#: Version of the file format.
VERSION = 1
#: The files of scores.
SCORE_FILE = ResultFile(
    what='relevance scores',
    version=VERSION,
    cure='Write them with: python tools/filtering/score_relevance.py CONFIG '
    'CHECKPOINT --bank BANK --out FILE. See docs/user_guides/filtering.md.',
    facts=dict(
        data=dict(fingerprint=str, name=str, length=int),
        scorer={},
        bank=dict(size=int),
    ),
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

    @property
    def data(self) -> dict[str, Any]:
        """What the scores are of, ``meta['data']``.

        Raises:
            ValueError: If that is not said.
        """
        data = self.meta.get('data')
        if not isinstance(data, dict):
            raise ValueError(
                'These scores do not say which data they are of: '
                "meta['data'] is missing. Those of load_scores say it."
            )
        return data

    def __post_init__(self) -> None:
        ranks = np.asarray(self.rank)
        for name, values in (('ranks', ranks), ('scores', self.score)):
            if np.asarray(values).dtype.kind not in 'iuf':
                raise ValueError(f'The {name} are no numbers.')
        lost = np.flatnonzero(np.isnan(np.asarray(self.score, np.float64)))
        if len(lost):
            raise ValueError(
                f'{len(lost)} scores are NaN, first that of pair {lost[0]}.'
            )
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
    meta, arrays = SCORE_FILE.describe(path, ('rank', 'score'))
    try:
        scores = RelevanceScores(arrays['rank'], arrays['score'], meta)
    except ValueError as error:
        raise SCORE_FILE.damaged(path, error) from error
    if len(scores) != meta['data']['length']:
        raise SCORE_FILE.damaged(
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
    theirs, ours = scores.data, pairs.fingerprint
    if ours != theirs['fingerprint']:
        where = f'"{os.fspath(source)}"'
        raise SCORE_FILE.other_data(
            where, theirs, len(scores), pairs.dataset, ours
        )
