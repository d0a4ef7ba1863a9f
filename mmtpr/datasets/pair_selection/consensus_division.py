"""Pairs by the consensus of their losses in the model that trains."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmtpr.filtering.consensus import (
    Division,
    Mixture,
    divide_pairs,
    require_mixtures,
)
from mmtpr.registry import TASK_UTILS
from mmtpr.utils.warn import warn

from .selector import PairSelector


@TASK_UTILS.register_module()
class ConsensusDivision(PairSelector):
    """Let those pairs train that the losses of the model agree to be right.

    The consensus division (CCD) of RDE, CVPR 2024, arXiv 2308.09911, with the
    numbers of its release. For each loss a mixture of two Gaussians is fitted
    to the losses of all pairs, scaled to 0..1; a pair whose probability to be
    of the lower component is above ``threshold`` is clean by this loss. Clean
    by all losses, it trains; by none, it does not; by some, a coin decides. A
    single loss makes a consensus of one.

    A loss whose mixture does not converge, or that has one mode, has no vote,
    with a warning. Where none has, all pairs train: to drop some would follow
    nothing, and to stop would end a run for an epoch in which it trains as it
    would without division.

    Args:
        threshold (float): Defaults to 0.5.
        worst (float): Share of the pairs that is noisy where none is below
            the threshold. Defaults to 0.01.
        max_iter (int): Iterations of a fit. Defaults to 10; the release takes
            100 for RSTPReid and where more than 40 % of the pairs are wrong,
            with ``tol=1e-4`` and ``reg_covar=1e-6``.
        tol (float): Gain of the mean log likelihood at which a fit has
            converged. Defaults to 1e-2.
        reg_covar (float): Added to variances. Defaults to 5e-4.

    Examples:
        >>> selector = dict(type='mmtpr.ConsensusDivision', threshold=0.5)
    """

    needs_losses = True

    def __init__(
        self,
        threshold: float = 0.5,
        worst: float = 0.01,
        max_iter: int = 10,
        tol: float = 1e-2,
        reg_covar: float = 5e-4,
    ) -> None:
        self.mixture = Mixture(threshold, worst, max_iter, tol, reg_covar)
        self._passes = 0

    def prepare(self) -> None:
        """Check that scikit-learn is there, before the data are loaded."""
        require_mixtures()

    def judge(
        self,
        dataset: Any,
        losses: Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """See :meth:`PairSelector.judge`."""
        if not losses:
            raise ValueError(
                'ConsensusDivision judges by losses of single pairs, and got '
                'none.'
            )
        division = divide_pairs(losses, self.mixture, seed)
        self._passes += 1
        if division.silent:
            warn(_silence(division, self._passes))
        return division.classes


def _silence(division: Division, passes: int) -> str:
    # With the number each is another line: a log drops repeated warnings.
    reasons = '; '.join(
        f'"{name}" {reason}' for name, reason in division.silent.items()
    )
    then = (
        f'Only {", ".join(division.voters)} divides the pairs this time.'
        if division.voters
        else 'All pairs train until the next division.'
    )
    return (
        f'Consensus division {passes}: the loss {reasons}. It does not tell '
        f'right from wrong pairs and has no vote. {then} If this stays so, '
        'begin later (start of mmtpr.PairSelectionHook), raise max_iter of '
        'the selector, or train without it: the pairs may all be right.'
    )
