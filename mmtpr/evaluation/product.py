"""The matrix product of ranking, by the faster of the libraries in torch."""

from functools import lru_cache

import torch
from torch import Tensor


def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply a matrix with the transpose of another.

    On CPUs with AVX-512, torch's ``mm`` goes to MKL, which leaves these units
    of some makers idle; oneDNN, in the same torch, does not and is up to 2.4
    times as fast. Both add up in float32 and in an order that depends on the
    shapes alone.

    Args:
        left (Tensor): Of shape (M, D), contiguous.
        right (Tensor): Of shape (N, D), of the same type and device.

    Returns:
        Tensor: Of shape (M, N).
    """
    if left.is_cpu and left.dtype == torch.float32 and _has_onednn():
        return torch.ops.mkldnn._linear_pointwise(
            left, right, None, 'none', [], ''
        )
    return left @ right.t()


@lru_cache(maxsize=1)
def _has_onednn() -> bool:
    """Whether oneDNN is there, worth its while and gives the product."""
    if torch.backends.cpu.get_cpu_capability() != 'AVX512':
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    left, right = torch.eye(4), torch.arange(8.0).view(2, 4)
    try:
        found = torch.ops.mkldnn._linear_pointwise(
            left, right, None, 'none', [], ''
        )
    except (AttributeError, RuntimeError, TypeError):
        return False  # another torch, where it has another form
    return torch.equal(found, right.t())
