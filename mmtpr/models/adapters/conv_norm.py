"""Norms of adapted kernels from rank-sized products.

A kernel (out, in / g, h, w) with g groups is g matrices (out / g, K), K = in /
g * h * w, each with factors B (out / g, r / g) and A (r / g, K) of its own, so
that a merged kernel has the groups of the plain one.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .cancellation import surplus
from .norm import frozen_product, norm_dtype


class Kernel(NamedTuple):
    """A convolution's tensors as matrices, one a group.

    Attributes:
        weight (Tensor): Frozen kernels, shape (g, out / g, K).
        a (Tensor): Shape (g, r / g, K), in the type of the norms.
        b (Tensor): Shape (g, out / g, r / g), in the type of the norms.
        places (int): Places of a kernel, h * w.
    """

    weight: Tensor
    a: Tensor
    b: Tensor
    places: int

    @classmethod
    def of(
        cls, weight: Tensor, lora_a: Tensor, lora_b: Tensor, groups: int
    ) -> 'Kernel':
        """Cut into groups.

        Args:
            weight (Tensor): Shape (out, in / g, h, w).
            lora_a (Tensor): Shape (r, in / g, h, w).
            lora_b (Tensor): Shape (out, r / g).
            groups (int): Number of groups, g.

        Returns:
            Kernel: The matrices.
        """
        dtype = norm_dtype(weight)
        return cls(
            weight.detach().flatten(1).unflatten(0, (groups, -1)),
            lora_a.to(dtype).flatten(1).unflatten(0, (groups, -1)),
            lora_b.to(dtype).unflatten(0, (groups, -1)),
            weight.shape[2] * weight.shape[3],
        )


def kernel_base_sqnorm(weight: Tensor, norm_dim: str, groups: int) -> Tensor:
    """Squared norm of a kernel for every input or output channel.

    Args:
        weight (Tensor): Shape (out, in / g, h, w).
        norm_dim (str): ``'in'``: one number an input channel; ``'out'``: one
            an output channel.
        groups (int): Number of groups, g.

    Returns:
        Tensor: Shape (in,) or (out,), accumulated in float32 or float64.
    """
    weight, dtype = weight.detach(), norm_dtype(weight)
    if norm_dim == 'out':
        flat = weight.flatten(1)  # (out, K)
        return torch.linalg.vector_norm(flat, dim=1, dtype=dtype).square()
    parts = weight.flatten(2).unflatten(0, (groups, -1))
    # (g, out / g, in / g, h * w)
    norm = torch.linalg.vector_norm(parts, dim=(1, 3), dtype=dtype)
    return norm.flatten().square()  # (in,)


def kernel_sqnorm(
    kernel: Kernel,
    alpha: Tensor,
    beta: Tensor,
    base: Tensor,
    norm_dim: str,
) -> tuple[Tensor, Tensor]:
    r"""Squared norms of ``beta * W0 + alpha * B A`` by rank-sized products.

    :math:`\beta^2 \|W_0\|^2 + 2 \alpha \beta \langle W_0, BA \rangle +
    \alpha^2 \|BA\|^2`, as for linear layers; per input channel the terms of a
    kernel's places are added up.

    Args:
        kernel (Kernel): The matrices.
        alpha (Tensor): Factor of the low-rank part, one number.
        beta (Tensor): Factor of the frozen kernel, one number.
        base (Tensor): From :func:`kernel_base_sqnorm`, shape (n,).
        norm_dim (str): ``'in'`` or ``'out'``.

    Returns:
        tuple[Tensor, Tensor]: The norms (n,), differentiable in the factors
        and numbers, and their :func:`surplus` (n,), below 0 where the parts
        all but cancel.
    """
    weight, a, b, places = kernel
    if norm_dim == 'in':
        outer, inner, matrix = a, b.mT, weight  # (g, r/g, K), (g, r/g, out/g)
    else:
        outer, inner, matrix = b.mT, a, weight.mT
    product = _grouped_product(inner, matrix)  # as outer
    cross = (outer * product).sum(1)  # (g, K) or (g, out / g)
    gram = inner @ inner.mT  # (g, r / g, r / g)
    lowrank = (outer * (gram @ outer)).sum(1)  # as cross
    if norm_dim == 'in':
        cross, lowrank = (
            t.unflatten(1, (-1, places)).sum(2) for t in (cross, lowrank)
        )  # (g, in / g)
    alpha, beta = alpha.to(base.dtype), beta.to(base.dtype)
    cross = alpha * beta * cross.flatten()  # (n,)
    lowrank = lowrank.flatten().clamp(min=0)
    total = beta.square() * base + alpha.square() * lowrank + 2 * cross
    left = surplus(total.detach(), cross.detach())
    # Rounding may leave a negative sum, whose root is NaN.
    floor = torch.finfo(base.dtype).eps * (total - 2 * cross).detach()
    return torch.maximum(total, floor), left


def _grouped_product(inner: Tensor, matrix: Tensor) -> Tensor:
    """``inner @ matrix`` group by group, without a cast of the whole."""
    if inner.dtype == matrix.dtype:
        return inner @ matrix
    pairs = zip(inner, matrix, strict=True)
    return torch.stack([frozen_product(i, m) for i, m in pairs])


def composed_kernel(
    kernel: Kernel, alpha: Tensor, beta: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """``beta * W0 + alpha * B A`` as matrices.

    Args:
        kernel (Kernel): The matrices.
        alpha (Tensor): Factor of the low-rank part, one number.
        beta (Tensor, optional): Factor of the frozen kernel. None means 1.
        dtype (torch.dtype): Type to compute in.

    Returns:
        Tensor: Shape (g, out / g, K), in that type.
    """
    change = kernel.b.to(dtype) @ kernel.a.to(dtype)
    weight = kernel.weight.to(dtype)
    if beta is not None:
        weight = beta.to(dtype) * weight
    return weight + alpha.to(dtype) * change


def exact_sqnorm(kernel: Kernel, direction: Tensor, norm_dim: str) -> Tensor:
    """Squared norms of a composed kernel, entry by entry.

    Args:
        kernel (Kernel): The matrices.
        direction (Tensor): From :func:`composed_kernel`.
        norm_dim (str): ``'in'`` or ``'out'``.

    Returns:
        Tensor: Shape (in,) or (out,), in the type of the direction.
    """
    squares = direction.square()
    # Below this a channel is nothing but the rounding of the parameters.
    unit = torch.finfo(kernel.a.dtype).eps ** 2
    base = unit * kernel.weight.to(direction.dtype).square()
    return torch.maximum(
        *(_per_channel(t, kernel.places, norm_dim) for t in (squares, base))
    )


def _per_channel(squares: Tensor, places: int, norm_dim: str) -> Tensor:
    """Add up (g, out / g, K) to one number a channel (n,)."""
    if norm_dim == 'out':
        return squares.sum(2).flatten()
    return squares.sum(1).unflatten(1, (-1, places)).sum(2).flatten()
