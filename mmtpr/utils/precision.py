"""Computing in the types that tensors have."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Context in which autocast is off.

    Args:
        device (torch.device): Of the tensors; the meta device, which computes
            nothing, has no autocast.

    Returns:
        AbstractContextManager: The context.
    """
    if device.type == 'meta' or not torch.is_autocast_enabled(device.type):
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


def allow_tf32(allowed: bool) -> None:
    """Say whether GPUs may round the factors of float32 products to 10 bits.

    Such products are several times as fast on the tensor cores of a GPU. The
    CPU is not concerned.

    Args:
        allowed (bool): Whether they may.
    """
    # torch's newer switch, fp32_precision, stops torch.compile in 2.9.
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def exact_matmul(device: torch.device) -> Iterator[None]:
    """Turn TF32 and autocast off where each product is to be exact.

    Args:
        device (torch.device): Device of the products within the block.
    """
    before = _set_precision(None)
    try:
        with full_precision(device):
            yield
    finally:
        _set_precision(before)


def _set_precision(values: list[str] | None) -> list[str]:
    """Set the precision of float32 products, None for the full one.

    Returns:
        list[str]: What it was.
    """
    root: Any = torch.backends
    backends = (root.cuda.matmul, root.mkldnn.matmul)
    if not all(hasattr(backend, 'fp32_precision') for backend in backends):
        # End of life: torch 2.9, where the switch of each backend came.
        before = [torch.get_float32_matmul_precision()]
        torch.set_float32_matmul_precision((values or ['highest'])[0])
        return before
    before = [backend.fp32_precision for backend in backends]
    for backend, value in zip(backends, values or ['ieee'] * 2, strict=True):
        backend.fp32_precision = value
    return before


def cast_all(tensors: Sequence[Any], dtype: torch.dtype) -> list[Any]:
    """Cast tensors in one kernel, where the device has such a kernel.

    Args:
        tensors (Sequence[Tensor | None]): Tensors of any shapes; None stays.
        dtype (torch.dtype): The type.

    Returns:
        list[Tensor | None]: The tensors in this type, without gradient where
        they had to be cast; those that have it already as they are.
    """
    cast = list(tensors)
    other = [
        i for i, t in enumerate(cast) if t is not None and t.dtype != dtype
    ]
    if other:
        with torch.no_grad():
            sources = [cast[i] for i in other]
            targets = [torch.empty_like(t, dtype=dtype) for t in sources]
            torch._foreach_copy_(targets, sources)
        for i, target in zip(other, targets, strict=True):
            cast[i] = target
    return cast
