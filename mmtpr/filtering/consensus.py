"""Consensus division of pairs by their losses, as pure functions.

As in RDE (CVPR 2024). A network learns what is right before it learns what is
wrong by heart: wrong pairs have the higher losses. For each loss a mixture of
two Gaussians is fitted to the losses of all pairs; what likely belongs to the
component of lower mean is clean. Several losses are several votes.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mmtpr.utils.lazy import require
from mmtpr.utils.numbers import is_number, is_whole

#: Classes of pairs: by all, by some, or by none of those who judge it held
#: for right. Scores on disk know the first and the last.
WRONG, DOUBTFUL, RIGHT = 0, 1, 2


@dataclass(frozen=True)
class Mixture:
    """How mixtures of two Gaussians are fitted, and what is clean.

    Attributes:
        threshold (float): Pairs above this probability to be of the lower
            component are clean.
        worst (float): Share of the pairs that counts as noisy where none is
            below the threshold.
        max_iter (int): Iterations of the fit.
        tol (float): Gain of the mean log likelihood at which it has converged.
        reg_covar (float): Added to the variances.
    """

    threshold: float = 0.5
    worst: float = 0.01
    max_iter: int = 10
    tol: float = 1e-2
    reg_covar: float = 5e-4

    def __post_init__(self) -> None:
        for name, low, high in (('threshold', 0, 1), ('worst', 0, 1)):
            value = getattr(self, name)
            if not (is_number(value) and low <= value < high):
                raise ValueError(f'{name} must be in [0, 1), got {value!r}.')
        fits = is_whole(self.max_iter) and self.max_iter >= 1
        fits = fits and is_number(self.tol) and self.tol > 0
        if not (fits and is_number(self.reg_covar) and self.reg_covar >= 0):
            raise ValueError(
                'A mixture needs max_iter >= 1, tol > 0 and reg_covar >= 0, '
                f'got {self.max_iter!r}, {self.tol!r} and {self.reg_covar!r}.'
            )


@dataclass(frozen=True)
class Division:
    """What a division found.

    Attributes:
        classes (ndarray): ``RIGHT``, ``DOUBTFUL`` or ``WRONG``, (N, ), uint8.
        voters (list[str]): Losses that were divided.
        silent (dict[str, str]): Losses that were not -> why.
    """

    classes: np.ndarray
    voters: list[str]
    silent: dict[str, str] = field(default_factory=dict)


class NoDivisionError(ValueError):
    """Losses that do not fall into two parts; says why."""


def require_mixtures() -> None:
    """Check that scikit-learn is there.

    Raises:
        ImportError: If it is not, naming the extra that brings it.
    """
    require('sklearn.mixture', 'filtering', 'Consensus division')


def clean_probability(
    losses: np.ndarray, mixture: Mixture, seed: int = 0
) -> np.ndarray:
    """Estimate how likely each pair is a clean one.

    Args:
        losses (ndarray): One loss of all pairs, (N, ), finite.
        mixture (Mixture): How to fit.
        seed (int): Of the fit's start. Defaults to 0.

    Returns:
        ndarray: Probability to be of the component of lower mean, (N, ).

    Raises:
        NoDivisionError: If all losses are the same, the fit does not converge,
            or one Gaussian explains them as well as two.
        ImportError: If scikit-learn is not installed.
    """
    low, high = float(losses.min()), float(losses.max())
    if len(losses) < 2 or low == high:
        raise NoDivisionError(f'has the same value, {low:.4g}, for all pairs')
    scaled = (losses.astype(np.float64) - low) / (high - low)  # (N,)
    rows = scaled[:, None]  # (N, 1)
    one, two = (_fit(rows, number, mixture, seed) for number in (1, 2))
    if not two.converged_:
        raise NoDivisionError(
            f'has a mixture that does not converge in {mixture.max_iter} '
            'iterations'
        )
    if one.bic(rows) <= two.bic(rows):
        raise NoDivisionError(
            'has one mode: a single Gaussian explains it as well as two'
        )
    return two.predict_proba(rows)[:, two.means_.argmin()]


def _fit(rows: np.ndarray, components: int, mixture: Mixture, seed: int):
    module = require('sklearn.mixture', 'filtering', 'Consensus division')
    model = module.GaussianMixture(
        n_components=components,
        max_iter=mixture.max_iter,
        tol=mixture.tol,
        reg_covar=mixture.reg_covar,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # it is asked whether it converged
        return model.fit(rows)


def clean_pairs(
    probability: np.ndarray, losses: np.ndarray, mixture: Mixture
) -> np.ndarray:
    """Choose the clean pairs.

    Args:
        probability (ndarray): See :func:`clean_probability`, (N, ).
        losses (ndarray): The losses; of two pairs with the same probability
            the one with the higher loss is the worse, (N, ).
        mixture (Mixture): The threshold, and the share that is noisy where
            no pair is below it.

    Returns:
        ndarray: True for those above the threshold, (N, ).
    """
    clean = probability > mixture.threshold  # (N,)
    if clean.all():
        number = int(np.ceil(mixture.worst * len(clean)))
        clean[np.lexsort((-losses, probability))[:number]] = False
    return clean


def divide_pairs(
    losses: Mapping[str, np.ndarray], mixture: Mixture, seed: int = 0
) -> Division:
    """Divide pairs by the consensus of several losses.

    A loss that does not fall into two parts has no vote. Where none has, all
    pairs are right: dropping some would follow nothing.

    Args:
        losses (Mapping[str, ndarray]): Name -> one loss of all pairs, (N, ).
        mixture (Mixture): How to fit.
        seed (int): Of the fits' start. Defaults to 0.

    Returns:
        Division: Clean by all voters is right, by none wrong, else doubtful.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    votes, silent = {}, {}
    for name, values in losses.items():
        try:
            probability = clean_probability(values, mixture, seed)
        except NoDivisionError as error:
            silent[name] = str(error)
            continue
        votes[name] = clean_pairs(probability, values, mixture)
    number = len(next(iter(losses.values())))
    if not votes:
        return Division(np.full(number, RIGHT, np.uint8), [], silent)
    table = np.stack([*votes.values()])  # (V, N)
    classes = np.full(number, DOUBTFUL, np.uint8)
    classes[table.all(axis=0)] = RIGHT
    classes[~table.any(axis=0)] = WRONG
    return Division(classes, [*votes], silent)


def draw_trained(classes: np.ndarray, seed: int) -> np.ndarray:
    """Choose which pairs train: right ones, and of doubtful ones every other.

    Args:
        classes (ndarray): Of N pairs, (N, ).
        seed (int): Of the coin, which is thrown for every pair.

    Returns:
        ndarray: True for those that train, (N, ).
    """
    coin = np.random.default_rng(seed).random(len(classes)) < 0.5  # (N,)
    return (classes == RIGHT) | ((classes == DOUBTFUL) & coin)
