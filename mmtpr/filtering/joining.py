"""Several score files of one dataset joined into one.

What one scorer cannot see another one may. Scores of two models are on no
common scale, but places are: of every file the pairs are put in order, and a
pair's position runs from 0, the best, to 1, the worst. Pairs of equal rank and
score share the mean of their places. The result is a score file like any
other, whose ranks count pairs of the dataset instead of captions of a bank.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .logistic import LogisticJoin
from .scores import VERSION, RelevanceScores

#: Ways to join, and what each says of a pair.
METHODS = dict(
    mean='its mean position',
    worst='its worst position: a share of the pairs that passes in all files',
    change='how little its position changes from file to file',
    logistic='a logistic model fitted on labelled pairs',
)


def positions(scores: RelevanceScores) -> np.ndarray:
    """Positions of the pairs of a score file, by rank, then by score.

    Args:
        scores (RelevanceScores): Scores of N pairs.

    Returns:
        np.ndarray: From 0, the best, to 1, the worst, (N, ), float64; equal
        pairs share their mean, and a pair without a finite score is at 1.

    Examples:
        >>> positions(RelevanceScores([1, 5, 1], [0.9, 0.2, 0.4]))
        array([0. , 1. , 0.5])
    """
    readable = np.isfinite(scores.score)
    rank, score = scores.rank[readable], scores.score[readable]
    order = np.lexsort((-score, rank))
    rank, score = rank[order], score[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (rank[1:] != rank[:-1]) | (score[1:] != score[:-1])
    group = np.cumsum(starts) - 1
    counts = np.bincount(group)
    middle = np.cumsum(counts) - (counts + 1) / 2  # from 0 on
    out = np.ones(len(scores))
    place = np.empty(len(order))
    place[order] = middle[group] / max(1, len(scores) - 1)
    out[readable] = place
    return out


def check_same_data(files: Mapping[str, RelevanceScores]) -> None:
    """Check that score files are about the same pairs in the same order.

    Args:
        files (Mapping[str, RelevanceScores]): Scores by name.

    Raises:
        ValueError: If there are none, or one is of other data; it is named.
    """
    if not files:
        raise ValueError('There are no score files to join.')
    # What most files say; of two that differ, the first.
    facts = {name: _data_of(scores) for name, scores in files.items()}
    of = list(facts.values())
    usual = max(of, key=lambda fact: of.count(fact))
    for name, fact in facts.items():
        if fact != usual:
            other = next(n for n, f in facts.items() if f == usual)
            raise ValueError(
                f'The scores "{name}" are of other data ({_told(fact)}) than '
                f'"{other}" ({_told(usual)}); only scores of one dataset can '
                'be joined. Score the same data with each scorer.'
            )


def join_scores(
    files: Mapping[str, RelevanceScores],
    method: str,
    labels: Mapping[int, bool] | None = None,
) -> RelevanceScores:
    """Join score files of one dataset.

    Args:
        files (Mapping[str, RelevanceScores]): Two or more, by name; for
            ``change`` in the order of training.
        method (str): A key of :data:`METHODS`.
        labels (Mapping[int, bool], optional): Whether a pair is wrong, by its
            index; what ``logistic`` is fitted on.

    Returns:
        RelevanceScores: Scores, higher is better, and ranks among the pairs.
        A pair whose image one scorer could not read has the score -inf.

    Raises:
        ValueError: If a file is of other data, there are less than two, or
            the labels do not serve.
        ImportError: If scikit-learn is needed and not installed.
    """
    if method not in METHODS:
        raise ValueError(
            f'method must be one of {", ".join(METHODS)}, got {method!r}.'
        )
    if len(files) < 2:
        raise ValueError(
            f'Joining needs two score files or more, got {len(files)}.'
        )
    check_same_data(files)
    if (labels is not None) != (method == 'logistic'):
        need = 'needs' if labels is None else 'takes no'
        raise ValueError(f'The method "{method}" {need} labels.')
    join: dict[str, Any] = dict(method=method)
    if labels is not None:
        model = LogisticJoin.fit(files, labels)
        score = model.good(files)
        join['model'] = model.plain()
    else:
        score = _by_position(files, method)
    readable = np.logical_and.reduce(
        [np.isfinite(scores.score) for scores in files.values()]
    )
    return _as_scores(np.where(readable, score, -np.inf), files, join)


def _by_position(
    files: Mapping[str, RelevanceScores], method: str
) -> np.ndarray:
    """Scores from the positions in F files, (N, )."""
    places = np.stack([positions(s) for s in files.values()])  # (F, N)
    if method == 'change':
        return -places.std(axis=0)
    return 1 - (places.max(0) if method == 'worst' else places.mean(0))


def _as_scores(
    score: np.ndarray, files: Mapping[str, RelevanceScores], join: dict
) -> RelevanceScores:
    score = score.astype(np.float32)
    readable = np.isfinite(score)
    # The number of pairs at least as good, itself included: ties count
    # against a pair here too.
    ordered = np.sort(score[readable])
    rank = np.full(len(score), len(score))
    below = np.searchsorted(ordered, score[readable], side='left')
    rank[readable] = len(ordered) - below
    join['files'] = [
        dict(name=name, scorer=s.meta.get('scorer'), bank=s.meta.get('bank'))
        for name, s in files.items()
    ]
    first = next(iter(files.values()))
    meta = dict(
        version=VERSION,
        data=first.data,
        scorer=dict(fingerprint=_digest(join, files), join=join),
        bank=dict(
            source='the pairs themselves',
            size=max(0, len(score) - 1),
            fingerprint=first.data['fingerprint'],
        ),
    )
    return RelevanceScores(rank, score, meta)


def _digest(join: dict, files: Mapping[str, RelevanceScores]) -> str:
    """Fingerprint of what is joined and how, whatever the files' names."""
    digest = hashlib.blake2b(digest_size=16)
    how = {key: value for key, value in join.items() if key != 'files'}
    digest.update(json.dumps(how, sort_keys=True).encode())
    for scores in files.values():
        digest.update(scores.rank.tobytes() + scores.score.tobytes())
    return digest.hexdigest()


def _data_of(scores: RelevanceScores) -> tuple[str, str, int]:
    data: Sequence = [scores.data.get(k) for k in ('name', 'fingerprint')]
    return data[0], data[1], len(scores)


def _told(fact: tuple[str, str, int]) -> str:
    name, fingerprint, length = fact
    return f'{name}, {length} pairs, fingerprint {fingerprint[:12]}'
