"""Computing in the types that tensors have."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Context in which autocast is off.

    Args:
        device (torch.device): Of the tensors; the meta device, which computes
            nothing, has no autocast.

    Returns:
        AbstractContextManager: The context.
    """
    if device.type == 'meta':
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def compute_dtype(x: torch.Tensor) -> torch.dtype:
    """Type in which a linear layer computes here.

    Args:
        x (Tensor): Its input, of any shape.

    Returns:
        torch.dtype: That of autocast where it is on, else that of ``x``.
    """
    device = x.device.type
    if device != 'meta' and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype
