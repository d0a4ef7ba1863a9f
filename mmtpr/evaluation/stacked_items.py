"""Gallery features that are put together where they are needed."""

from collections.abc import Sequence

import torch
from torch import Tensor


class StackedItems:
    """Looks like a tensor (N, T, D) to ranking, holds N tensors (T, D).

    A test loop gathers features item by item. Ranking takes a few items at a
    time, and stacking just these saves a second copy of the whole gallery.

    Args:
        items (Sequence[Tensor]): Features of N items, at least one, each of
            shape (T, D), of one type and device.
    """

    def __init__(self, items: Sequence[Tensor]) -> None:
        self._items = list(items)
        self.shape = torch.Size((len(self._items), *self._items[0].shape))
        self.device = self._items[0].device

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: slice) -> Tensor:
        return torch.stack(self._items[index])

    def item(self, index: int) -> Tensor:
        """Give one item.

        Args:
            index (int): Its index.

        Returns:
            Tensor: Of shape (T, D).
        """
        return self._items[index]

    def heads(self, index: Tensor, size: int) -> Tensor:
        """Give the first numbers of some items.

        Args:
            index (Tensor): The items, (M, ), long.
            size (int): How many numbers S.

        Returns:
            Tensor: Of shape (M, S).
        """
        return torch.stack(
            [self.item(i).reshape(-1)[:size] for i in index.tolist()]
        )

    def dim(self) -> int:
        """Number of dimensions.

        Returns:
            int: 3.
        """
        return len(self.shape)
