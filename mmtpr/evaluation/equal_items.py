"""Items of a gallery that are equal to the bit."""

from typing import Any

import torch
from torch import Tensor

from .stacked_items import StackedItems

#: Items that equal an earlier one, and that one: two long vectors (P, ).
EqualItems = tuple[Tensor, Tensor]

# Numbers at the head of an item that tell most items apart.
_HEAD = 16
# Items compared as a whole at a time.
_STEP = 256


def equal_items(items: Tensor | StackedItems) -> EqualItems | None:
    """Find the items that equal an earlier one.

    A model that gives all images the same features must earn nothing, and two
    copies of one image must tie. Products do not see to that: with some
    kernels the result depends on the row.

    Args:
        items (Tensor | StackedItems): Of shape (N, T, D) or (N, D), float32.

    Returns:
        tuple[Tensor, Tensor] | None: Indices of the later and of the first of
        the equal ones, each of shape (P, ); None if all differ.
    """
    candidates = torch.arange(len(items))
    first: Any = None
    # As a rule nothing is left to compare as a whole.
    width = items.shape[1:].numel()
    for size in (min(_HEAD, width), width):
        sums = [
            _checksums(_rows(items, some, size))
            for some in candidates.split(_STEP if size > _HEAD else 1 << 16)
        ]
        first = _first_of_equal(torch.cat(sums) if sums else candidates)
        if first is None:
            return None
        group = first.bincount(minlength=len(first))[first] > 1  # (C, )
        candidates, first = candidates[group], candidates[first[group]]
    later = candidates != first
    return candidates[later].to(items.device), first[later].to(items.device)


def _rows(items: Tensor | StackedItems, index: Tensor, size: int) -> Tensor:
    """The first numbers (M, size) of some items."""
    if isinstance(items, Tensor):
        return items.flatten(1)[index.to(items.device), :size]
    return items.heads(index, size)


def _checksums(rows: Tensor) -> Tensor:
    """(M, W) float -> (M, ) long, the same in any order of adding."""
    words = (rows.float() + 0.0).view(torch.int32).long()  # -0 becomes 0
    generator = torch.Generator().manual_seed(0)
    high = 2**62
    factors = torch.randint(-high, high, rows.shape[1:], generator=generator)
    return (words * (2 * factors + 1).to(words.device)).sum(1).cpu()


def _first_of_equal(sums: Tensor) -> Tensor | None:
    """Index of the first equal entry of each (C, ), None if all differ."""
    values, place = sums.unique(return_inverse=True)
    if len(values) == len(sums):
        return None
    index = torch.arange(len(sums))
    first = index.new_full((len(values),), len(sums))
    return first.scatter_reduce(0, place, index, 'amin')[place]
