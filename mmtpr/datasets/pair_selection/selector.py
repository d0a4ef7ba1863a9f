"""What decides which pairs of a dataset train."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mmtpr.filtering.consensus import draw_trained


class PairSelector(ABC):
    """Decide which pairs of a dataset train.

    In two steps: :meth:`judge` puts every pair into a class, from scores on
    disk or from its losses in the model that trains; :meth:`trained` makes of
    the classes what trains now.
    """

    #: Whether :meth:`judge` asks for losses of the model.
    needs_losses: ClassVar[bool] = False

    def prepare(self) -> None:  # noqa: B027
        """Read or check what is needed, before the data are loaded.

        Raises:
            FileNotFoundError: If there is no file of scores.
            ImportError: If a library is not installed.
        """

    @abstractmethod
    def judge(
        self,
        dataset: Any,
        losses: Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Put every pair into a class.

        Args:
            dataset (BaseDataset): The dataset of N pairs, loaded.
            losses (Mapping[str, ndarray], optional): Name -> loss of every
                pair, (N, ), for one that ``needs_losses``.
            seed (int): For what is drawn. Defaults to 0.

        Returns:
            ndarray: ``RIGHT``, ``DOUBTFUL`` or ``WRONG`` of
            :mod:`mmtpr.filtering.consensus`, (N, ), uint8.

        Raises:
            ValueError: If scores belong to other data or nothing is kept.
        """

    def trained(self, classes: np.ndarray, seed: int = 0) -> np.ndarray:
        """Choose the pairs that train.

        Args:
            classes (ndarray): What :meth:`judge` made, (N, ).
            seed (int): Of the coin for doubtful pairs. Defaults to 0.

        Returns:
            ndarray: True for those that train, (N, ).
        """
        return draw_trained(classes, seed)
