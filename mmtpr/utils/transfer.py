"""Copies from the host to a device."""

import torch
from torch import Tensor


def to_device(device: torch.device, *tensors: Tensor) -> list[Tensor]:
    """Copy tensors to a device without waiting for it.

    Args:
        device (torch.device): Where to.
        *tensors (Tensor): On the CPU, of any shapes.

    Returns:
        list[Tensor]: The copies.
    """
    if device.type == 'cuda':
        # From other memory the host waits for the copy.
        tensors = tuple(tensor.pin_memory() for tensor in tensors)
    return [tensor.to(device, non_blocking=True) for tensor in tensors]
