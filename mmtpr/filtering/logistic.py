"""A small logistic model over several scores, fitted on labelled pairs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtpr.utils.lazy import require

from .scores import RelevanceScores

# Below this many of a kind a model of so few weights follows chance.
_LEAST = 5


def count_labels(wrong: Collection[bool]) -> dict[str, int]:
    """Count the labelled pairs of each kind, and check that there are some.

    Args:
        wrong (Collection[bool]): Whether each is wrong.

    Returns:
        dict[str, int]: Numbers of ``right`` and ``wrong`` pairs.

    Raises:
        ValueError: If there are too few of a kind to fit a model on.
    """
    number = sum(map(bool, wrong))
    counts = dict(right=len(wrong) - number, wrong=number)
    for kind, count in counts.items():
        if count < _LEAST:
            raise ValueError(
                f'Of the labelled pairs {count} are {kind}; a logistic model '
                f'needs {_LEAST} right and {_LEAST} wrong ones at least. '
                'Label more, or join by mean, which needs none.'
            )
    return counts


@dataclass(frozen=True)
class LogisticJoin:
    """Weights of a logistic model whose features are ranks and scores.

    Two features a file: the logarithm of the rank and the score, less the
    mean and divided by the deviation over the labelled pairs.

    Attributes:
        names (list[str]): Names of the K features, K = 2 a file.
        mean (np.ndarray): What is taken off each, (K, ).
        deviation (np.ndarray): What each is divided by, (K, ).
        weights (np.ndarray): Weights of the chance to be right, (K, ).
        intercept (float): Added to the weighted sum.
        labels (dict[str, int]): Numbers of ``right`` and ``wrong`` pairs that
            it was fitted on.
    """

    names: list[str]
    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercept: float
    labels: dict[str, int]

    @classmethod
    def fit(
        cls,
        files: Mapping[str, RelevanceScores],
        labels: Mapping[int, bool],
    ) -> 'LogisticJoin':
        """Fit the weights; the same labels give the same weights.

        Args:
            files (Mapping[str, RelevanceScores]): Scores of N pairs by name.
            labels (Mapping[int, bool]): Whether a pair is wrong, by index.
                Pairs without a finite score do not count.

        Returns:
            LogisticJoin: The model.

        Raises:
            ValueError: If a pair is not there, or too few are right or wrong.
            ImportError: If scikit-learn is not installed.
        """
        linear = require(
            'sklearn.linear_model', 'filtering', 'Joining by a logistic model'
        )
        features = _features(files)  # (N, K)
        index = np.array(sorted(labels), dtype=np.int64)
        beyond = index[(index < 0) | (index >= len(features))]
        if len(beyond):
            raise ValueError(
                f'The labels name pair {beyond[0]}; the scores have the '
                f'pairs 0 to {len(features) - 1}.'
            )
        index = index[np.isfinite(features[index]).all(axis=1)]
        right = np.array([not labels[i] for i in index.tolist()], dtype=bool)
        counts = count_labels(~right)
        known = features[index]
        mean, deviation = known.mean(0), known.std(0)
        # A feature that is always the same says nothing.
        deviation = np.where(deviation > 0, deviation, 1.0)
        model = linear.LogisticRegression(max_iter=1000)
        model.fit((known - mean) / deviation, right)
        return cls(
            [f'{n}: {part}' for n in files for part in ('log rank', 'score')],
            mean,
            deviation,
            model.coef_[0],
            float(model.intercept_[0]),
            counts,
        )

    def good(self, files: Mapping[str, RelevanceScores]) -> np.ndarray:
        """Compute the log odds that pairs are right.

        Args:
            files (Mapping[str, RelevanceScores]): Scores of N pairs, in the
                order of the fit.

        Returns:
            np.ndarray: (N, ), -inf or NaN where a score is not finite.
        """
        features = (_features(files) - self.mean) / self.deviation
        # Summed feature by feature: the order of a matrix product depends on
        # the machine.
        total = np.full(len(features), self.intercept)
        with np.errstate(invalid='ignore'):
            for column, weight in zip(features.T, self.weights, strict=True):
                total += weight * column
        return total

    def plain(self) -> dict[str, Any]:
        """Give the model as plain values.

        Returns:
            dict: ``intercept``, ``labels`` and ``features``, each with name,
            mean, deviation and weight.
        """
        rows = zip(
            self.names, self.mean, self.deviation, self.weights, strict=True
        )
        keys = ('mean', 'deviation', 'weight')
        return dict(
            intercept=self.intercept,
            labels=self.labels,
            features=[
                dict(zip(keys, map(float, row[1:]), strict=True), name=row[0])
                for row in rows
            ],
        )


def _features(files: Mapping[str, RelevanceScores]) -> np.ndarray:
    """Logarithm of the rank and score of each file, (N, 2F), float64."""
    columns = []
    for scores in files.values():
        columns.append(np.log(scores.rank))
        columns.append(scores.score.astype(np.float64))
    return np.stack(columns, axis=1)
