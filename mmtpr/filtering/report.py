"""Numbers that say what a filter does."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmtpr.utils import read_json

from .rules import keep_mask
from .scores import RelevanceScores


def roc_auc(scores: np.ndarray, is_bad: np.ndarray) -> float:
    """Area under the ROC curve of telling good from bad pairs.

    The share of (good, bad) couples in which the good pair has the higher
    score; ties count one half.

    Args:
        scores (np.ndarray): Higher is better, (N, ).
        is_bad (np.ndarray): Whether each pair is bad, (N, ), bool.

    Returns:
        float: Between 0 and 1; 0.5 is chance.

    Raises:
        ValueError: If there are no good or no bad pairs, or a score is NaN.

    Examples:
        >>> roc_auc(np.array([0.9, 0.4, 0.4]), np.array([False, False, True]))
        0.75
    """
    scores = np.asarray(scores, dtype=np.float64)
    is_bad = np.asarray(is_bad, dtype=bool)
    if scores.ndim != 1 or scores.shape != is_bad.shape:
        raise ValueError(
            'scores and is_bad must be vectors of the same length, got '
            f'{scores.shape} and {is_bad.shape}.'
        )
    if np.isnan(scores).any():
        raise ValueError('scores hold NaN.')
    bad = int(is_bad.sum())
    good = len(scores) - bad
    if not good or not bad:
        raise ValueError(
            f'An AUC needs good and bad pairs, got {good} and {bad}.'
        )
    _, place, counts = np.unique(
        scores, return_inverse=True, return_counts=True
    )
    # Mean position, from 1, of the pairs that share a score.
    position = np.cumsum(counts) - (counts - 1) / 2
    total = position[place][~is_bad].sum()
    return float((total - good * (good + 1) / 2) / (good * bad))


def auc_by_kind(
    scores: RelevanceScores, kinds: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """AUC of telling right pairs from each kind of wrong ones.

    Args:
        scores (RelevanceScores): Scores of N pairs.
        kinds (np.ndarray): Kind of each pair, (N, ), 0 = right.
        names (Sequence[str]): Names of the kinds.

    Returns:
        dict[str, dict[str, float]]: For each kind of wrong pairs, and for
        all together, the AUC by rank and by score, and their number.
    """
    result = {}
    present = [k for k in range(1, len(names)) if (kinds == k).any()]
    groups = {names[k]: (kinds == 0) | (kinds == k) for k in present}
    groups['all'] = np.ones(len(kinds), dtype=bool)
    for name, group in groups.items():
        is_bad = kinds[group] != 0
        result[name] = dict(
            pairs=int(is_bad.sum()),
            rank=roc_auc(-scores.rank[group], is_bad),
            score=roc_auc(scores.score[group], is_bad),
        )
    return result


def auc_rows(
    files: Mapping[str, RelevanceScores],
    kinds: np.ndarray,
    names: Sequence[str],
    chosen: np.ndarray | None = None,
) -> list[str]:
    """Tabulate how well several scores tell each kind of wrong pairs.

    Args:
        files (Mapping[str, RelevanceScores]): Scores of N pairs by name.
        kinds (np.ndarray): Kind of each pair, (N, ), 0 = right.
        names (Sequence[str]): Names of the kinds.
        chosen (np.ndarray, optional): Whether a pair counts, (N, ), bool.
            Defaults to None: all do.

    Returns:
        list[str]: Lines of Markdown, the AUC by rank of each file.
    """
    rows: list[str] = []
    for name, scores in files.items():
        part, here = scores, kinds
        if chosen is not None:
            here = kinds[chosen]
            part = RelevanceScores(scores.rank[chosen], scores.score[chosen])
        auc = auc_by_kind(part, here, names)
        if not rows:
            heads = [f'{kind} ({auc[kind]["pairs"]})' for kind in auc]
            rows = [
                f'| scores, AUC by rank | {" | ".join(heads)} |',
                '|---|' + '---:|' * len(heads),
            ]
        values = ' | '.join(f'{row["rank"]:.3f}' for row in auc.values())
        rows.append(f'| {name} | {values} |')
    return rows


def threshold_counts(
    scores: RelevanceScores,
    max_ranks: Sequence[int],
    kinds: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Count what thresholds on the rank keep and drop.

    Args:
        scores (RelevanceScores): Scores of N pairs.
        max_ranks (Sequence[int]): The thresholds.
        kinds (np.ndarray, optional): Kind of each pair, (N, ), 0 = right.

    Returns:
        list[dict]: For each threshold ``max_rank``, ``kept``, ``dropped`` and
        ``kept_ratio``; with kinds also ``wrong_before`` and ``wrong_kept``,
        the shares of wrong pairs among all and among the kept.
    """
    rows = []
    for limit in max_ranks:
        keep = keep_mask(scores.rank, scores.score, max_rank=limit)
        row = dict(
            max_rank=int(limit),
            kept=int(keep.sum()),
            dropped=int((~keep).sum()),
            kept_ratio=float(keep.mean()),
        )
        if kinds is not None:
            wrong = kinds != 0
            row['wrong_before'] = float(wrong.mean())
            row['wrong_kept'] = float(wrong[keep].mean()) if keep.any() else 0
        rows.append(row)
    return rows


def default_thresholds(bank_size: int) -> list[int]:
    """Choose thresholds in steps of 1, 2, 5 up to the size of the bank.

    Args:
        bank_size (int): Captions in the bank.

    Returns:
        list[int]: Thresholds, ascending.
    """
    steps = (m * 10**e for e in range(12) for m in (1, 2, 5))
    return [step for step in steps if step <= bank_size]


def load_truth(
    path: str | os.PathLike, length: int
) -> tuple[np.ndarray, list[str]]:
    """Read which pairs are wrong.

    Args:
        path (str | PathLike): json file with a kind a pair, 0 = right: a
            list of integers or of records with ``kind``, or a dict with such
            a list under ``kinds`` (or ``kind``) and optionally ``names``.
        length (int): Number of pairs.

    Returns:
        tuple[np.ndarray, list[str]]: Kinds, (N, ), and their names.

    Raises:
        ValueError: If the file holds something else or another number.
    """
    content = read_json(path, 'truth file')
    names = None
    if isinstance(content, dict):
        names = content.get('names')
        content = content.get('kinds', content.get('kind'))
    try:
        given = [r['kind'] if isinstance(r, dict) else r for r in content]
        kinds = np.array(given, dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'The truth file "{path}" holds no kinds of pairs ({error!r}).'
        ) from error
    if len(kinds) != length:
        raise ValueError(
            f'The truth file "{path}" is about {len(kinds)} pairs, the '
            f'scores are about {length}.'
        )
    for pair, (kind, number) in enumerate(zip(kinds, given, strict=True)):
        if kind != number or isinstance(number, str):
            raise ValueError(
                f'The truth file "{path}" has the kind {number!r} of pair '
                f'{pair}; kinds are whole numbers, 0 = right.'
            )
    most = int(kinds.max(initial=0))
    if names is not None and not isinstance(names, list):
        raise ValueError(
            f'The truth file "{path}" has {names!r} as names, which are a '
            'list of texts.'
        )
    if names is None:
        names = ['right', *(f'kind {k}' for k in range(1, most + 1))]
    if len(names) <= most or kinds.min(initial=0) < 0:
        raise ValueError(
            f'The truth file "{path}" has kinds up to {most} and '
            f'{len(names)} names.'
        )
    return kinds, list(names)
