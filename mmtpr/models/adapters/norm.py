"""Norms of adapted weights from rank-sized products."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import Function

from mmtpr.utils.precision import full_precision

from .cancellation import ThinColumns, rebuild_columns, surplus
from .transforms import is_transformed

_CHUNK = 512


def norm_dtype(tensor: Tensor) -> torch.dtype:
    """Type in which norms are accumulated: float32, or float64 for float64.

    Args:
        tensor (Tensor): The weight.

    Returns:
        torch.dtype: ``torch.float64`` or ``torch.float32``.
    """
    is_double = tensor.dtype == torch.float64
    return torch.float64 if is_double else torch.float32


def base_sqnorm(weight: Tensor, norm_dim: str) -> Tensor:
    """Squared norm of every column or row of a weight.

    Args:
        weight (Tensor): Shape (out, in).
        norm_dim (str): ``'in'``: one number an input feature (column);
            ``'out'``: one number an output feature (row).

    Returns:
        Tensor: Shape (in,) or (out,), accumulated in float32 or float64.
    """
    norm = torch.linalg.vector_norm(
        weight.detach(),
        dim=0 if norm_dim == 'in' else 1,
        dtype=norm_dtype(weight),
    )
    return norm.square()


class _FrozenProduct(Function):
    """``factor @ matrix`` for a constant matrix of lower precision.

    (r, k) @ (k, n) -> (r, n). The matrix is cast to the type of the factor a
    chunk of columns at a time: a cast of the whole would be weight-sized, and
    autograd would keep it for the backward pass.
    """

    @staticmethod
    def forward(ctx, factor: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(matrix)
        chunks = matrix.split(_CHUNK, dim=1)
        return torch.cat([factor @ c.to(factor.dtype) for c in chunks], 1)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (matrix,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a gradient of the gradient
            return _FrozenProduct.apply(grad, matrix.t()), None
        pairs = zip(
            grad.split(_CHUNK, 1), matrix.split(_CHUNK, 1), strict=True
        )
        return sum(g @ c.to(g.dtype).t() for g, c in pairs), None


def frozen_product(factor: Tensor, matrix: Tensor) -> Tensor:
    """Multiply by a frozen matrix, which may be of lower precision.

    Args:
        factor (Tensor): Shape (r, k).
        matrix (Tensor): Shape (k, n), without gradient.

    Returns:
        Tensor: Shape (r, n), in the type of the factor.
    """
    if matrix.dtype == factor.dtype:
        return factor @ matrix
    return _FrozenProduct.apply(factor, matrix)


def adapted_sqnorm(
    weight: Tensor,
    lora_a: Tensor,
    lora_b: Tensor,
    alpha: Tensor,
    beta: Tensor,
    base: Tensor,
    norm_dim: str,
    any_thin: Callable[[Tensor], bool] = lambda left: bool((left < 0).any()),
) -> tuple[Tensor, ThinColumns | None]:
    r"""Squared norm of every column or row of ``beta * W0 + alpha * B A``.

    Expanded, so that only matrices with one side ``rank`` appear:
    :math:`\beta^2 \|W_0\|^2 + 2 \alpha \beta \langle W_0, BA \rangle +
    \alpha^2 \|BA\|^2`. Where little is left of these terms, the columns are
    rebuilt.

    Args:
        weight (Tensor): Frozen weight W0, shape (out, in).
        lora_a (Tensor): A, shape (rank, in).
        lora_b (Tensor): B, shape (out, rank).
        alpha (Tensor): Factor of the low-rank part, one number.
        beta (Tensor): Factor of the frozen weight, one number.
        base (Tensor): Squared norm of W0 from :func:`base_sqnorm`. Its type
            is the type of the accumulation.
        norm_dim (str): ``'in'`` or ``'out'``.
        any_thin (Callable): Tells from the :func:`surplus` (n,) whether
            any column is thin.

    Returns:
        tuple[Tensor, ThinColumns | None]: The norms, shape (in,) or (out,),
        differentiable in all but ``weight``, and the columns or rows that had
        to be rebuilt, if any.
    """
    with full_precision(weight.device):
        dtype = base.dtype
        # n is the side of the norm, k the side that is summed over.
        matrix, outer, inner = weight.detach(), lora_a, lora_b.t()
        if norm_dim == 'out':
            matrix, outer, inner = matrix.t(), inner, outer
        outer, inner = outer.to(dtype), inner.to(dtype)
        alpha, beta = alpha.to(dtype), beta.to(dtype)
        total, cross = _expanded_sqnorm(
            matrix, outer, inner, alpha, beta, base
        )
        left = surplus(total.detach(), cross.detach())  # (n,)
        # Where W0 and BA cancel, rounding may leave a negative sum, whose root
        # is NaN.
        floor = torch.finfo(dtype).eps * (total - 2 * cross).detach()
        total = torch.maximum(total, floor)
        parts = (matrix, outer, inner, alpha, beta)
        if is_transformed([left]):
            # Under vmap nothing can depend on them: rebuild them all.
            thin = rebuild_columns(slice(None), *parts)
            return torch.where(left < 0, thin.sqnorm.to(dtype), total), None
        if not any_thin(left):
            return total, None
        index = (left < 0).nonzero()[:, 0]  # (c,)
        thin = rebuild_columns(index, *parts)
        return total.index_copy(0, index, thin.sqnorm.to(dtype)), thin


def _expanded_sqnorm(
    matrix: Tensor,
    outer: Tensor,
    inner: Tensor,
    alpha: Tensor,
    beta: Tensor,
    base: Tensor,
) -> tuple[Tensor, Tensor]:
    """Squared norms (n,) by rank-sized products, and half their cross term."""
    # <W0, BA> column by column is the sum over rank of A * (B^T W0).
    # (rank, k) @ (k, n): several times faster on CPUs than the transpose.
    product = frozen_product(inner, matrix)  # (rank, n)
    cross = alpha * beta * (outer * product).sum(0)  # (n,)
    # ||BA||^2 column by column is a^T (B^T B) a: rank x rank in between.
    gram = inner @ inner.t()  # (rank, rank)
    lowrank = (outer * (gram @ outer)).sum(0).clamp(min=0)  # (n,)
    squares = beta.square() * base + alpha.square() * lowrank  # (n,)
    return squares + 2 * cross, cross


def magnitude_scale(
    magnitude: Tensor, sqnorm: Tensor, detach_norm: bool = False
) -> Tensor:
    """``magnitude / sqrt(sqnorm)``, and 0 where the norm is 0.

    Args:
        magnitude (Tensor): Shape (n,).
        sqnorm (Tensor): Shape (n,), not negative.
        detach_norm (bool): Whether the norm is a constant for the gradient,
            as DoRA suggests. Defaults to False.

    Returns:
        Tensor: Shape (n,), in the type of ``sqnorm``.
    """
    if detach_norm:
        sqnorm = sqnorm.detach()
    # A 1 below the root where the norm is 0: the gradient of a where reaches
    # the branch that is not taken, and that of 1/sqrt(0) is NaN.
    alive = sqnorm > 0
    inverse = torch.where(alive, sqnorm, 1.0).rsqrt()
    return magnitude.to(sqnorm.dtype) * torch.where(alive, inverse, 0.0)
