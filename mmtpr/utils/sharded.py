"""Tensors that are spread over processes."""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map


def is_sharded(value: Any) -> bool:
    """Tell whether a process holds only its part of a tensor.

    Args:
        value (Any): Whatever it is.

    Returns:
        bool: True for a tensor that FSDP2 has spread.
    """
    return isinstance(value, DTensor)


@torch.no_grad()
def whole(value: Any) -> Any:
    """Collect what is spread. All processes must call this at once.

    Args:
        value (Any): A tensor, or dicts and lists with any number of them.

    Returns:
        Any: The same with ordinary tensors, on the CPU where they had been
        spread.
    """
    return tree_map(
        lambda x: x.full_tensor().cpu() if is_sharded(x) else x, value
    )


def spread_like(value: Tensor, like: Any) -> Tensor:
    """Keep of a whole tensor the part that this process is to hold.

    Args:
        value (Tensor): Whole, the same in all processes.
        like (Tensor): Of the same shape, spread or not.

    Returns:
        Tensor: Spread as ``like`` is, on its device; ``value`` itself where
        that is whole or of another shape.
    """
    if not is_sharded(like) or value.shape != like.shape:
        return value
    mesh, places = like.device_mesh, like.placements
    moved = value.to(like.device)
    # None: every process has read the same file, so nothing is sent.
    return distribute_tensor(moved, mesh, places, src_data_rank=None)
