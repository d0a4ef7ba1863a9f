"""Vectors of items on disk, read where ranking needs them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mmtpr.evaluation.similarity import MOST_TILE_VECTORS
from mmtpr.evaluation.stacked_items import StackedItems

#: Reads the vectors of some rows: (n, ) -> (n, T, D) float32.
ReadRows = Callable[[np.ndarray], Tensor]


class StoredItems(StackedItems):
    """Looks like a tensor (N, T, D) to ranking, reads what is asked for.

    Slices of more than a tile are views in turn: memory never holds more
    than a tile of float32 numbers.

    Args:
        read (Callable[[ndarray], Tensor]): Reads rows.
        rows (ndarray): Rows of the N items in the store, (N, ).
        vectors (int): Vectors T of an item.
        dim (int): Numbers D of a vector.
    """

    def __init__(
        self, read: ReadRows, rows: np.ndarray, vectors: int, dim: int
    ) -> None:
        self.read = read
        self.rows = rows
        self.shape = torch.Size((len(rows), vectors, dim))
        self.device = torch.device('cpu')

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice) -> Tensor:
        rows = self.rows[index]
        if len(rows) * self.shape[1] > MOST_TILE_VECTORS:
            view: object = StoredItems(self.read, rows, *self.shape[1:])
            return view  # type: ignore[return-value]
        return self.read(rows)

    def item(self, index: int) -> Tensor:
        """Give one item.

        Args:
            index (int): Its index.

        Returns:
            Tensor: Of shape (T, D).
        """
        return self.read(self.rows[index : index + 1])[0]

    def heads(self, index: Tensor, size: int) -> Tensor:
        """Give the first numbers of some items.

        Args:
            index (Tensor): The items, (M, ), long.
            size (int): How many numbers S.

        Returns:
            Tensor: Of shape (M, S).
        """
        step = max(1, MOST_TILE_VECTORS // self.shape[1])
        rows = self.rows[index.numpy()]
        parts = (rows[i : i + step] for i in range(0, len(rows), step))
        return torch.cat(
            [self.read(part).flatten(1)[:, :size].clone() for part in parts]
        )

    def single_vectors(self) -> 'StoredItems':
        """Take every vector as an item of its own.

        Returns:
            StoredItems: Of shape (N * T, 1, D).
        """
        vectors = self.shape[1]

        def read(rows: np.ndarray) -> Tensor:
            items, place = np.unique(rows // vectors, return_inverse=True)
            found = self.read(self.rows[items])  # (n, T, D)
            return found[place, rows % vectors][:, None]

        rows = np.arange(len(self) * vectors)
        return StoredItems(read, rows, 1, self.shape[2])
