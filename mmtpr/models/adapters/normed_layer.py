r"""Layers with normed columns, and their norms in few kernels.

Column j of the weight is :math:`s_j (w_j + \rho B a_j)` with :math:`\rho =
\alpha / \beta`. Dividing both parts by beta leaves the normed column as it
is, but for the sign of beta.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmtpr.utils.precision import full_precision

from .cancellation import surplus
from .functional import plain_adapted_linear
from .norm import adapted_sqnorm, frozen_product, magnitude_scale


class NormedLayer(NamedTuple):
    """A linear layer whose columns or rows have magnitudes.

    Attributes:
        weight (Tensor): Frozen weight W0, shape (out, in).
        bias (Tensor, optional): Shape (out,).
        lora_a (Tensor): A, shape (rank, in).
        lora_b (Tensor): B, shape (out, rank).
        magnitude (Tensor): Shape (in,) or (out,).
        alpha (Tensor): Factor of the low-rank part, one number.
        beta (Tensor): Factor of the frozen weight, one number.
        base (Tensor): Squared norm of W0, shape (in,) or (out,). Its type is
            that of the accumulation.
        floor (Tensor): Least squared norm that is more than rounding, for a
            beta of 1, shape (in,) or (out,).
        side (str): ``'in'`` for columns, ``'out'`` for rows.
        detach_norm (bool): Whether the norm is a constant for the gradient.
    """

    weight: Tensor
    bias: Tensor | None
    lora_a: Tensor
    lora_b: Tensor
    magnitude: Tensor
    alpha: Tensor
    beta: Tensor
    base: Tensor
    floor: Tensor
    side: str
    detach_norm: bool


class Norms(NamedTuple):
    """Norms of a layer and what their gradients need.

    n is the side of the norm, k the side that is summed over; the outer
    factor is that on the side of n, (rank, n), the inner the other, (rank, k).

    Attributes:
        ratio (Tensor): alpha / beta, one number.
        outer (Tensor): ``ratio`` times the outer factor, shape (rank, n).
        products (Tensor): Inner factor times the weight over beta, (rank, n).
        inverse (Tensor): One over the norm of the weight over beta, with the
            sign of beta, and 0 where the norm is 0. Shape (n,).
        surplus (Tensor): See :func:`surplus`, shape (n,).
    """

    ratio: Tensor
    outer: Tensor
    products: Tensor
    inverse: Tensor
    surplus: Tensor


def oriented(layer: NormedLayer) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the tensors of a layer so that norms are those of columns.

    Args:
        layer (NormedLayer): The layer.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Frozen weight (k, n), outer factor
        (rank, n) and inner factor (rank, k), these in the type of the norms.
    """
    dtype = layer.base.dtype
    a, b = layer.lora_a.to(dtype), layer.lora_b.to(dtype).t()
    if layer.side == 'in':
        return layer.weight, a, b
    return layer.weight.t(), b, a


@torch.no_grad()
def layer_norms(layer: NormedLayer) -> Norms:
    """Compute the norms of all columns or rows from rank-sized products.

    Args:
        layer (NormedLayer): The layer.

    Returns:
        Norms: The norms, in the type of ``layer.base``, without gradient.
    """
    with full_precision(layer.weight.device):
        matrix, outer, inner = oriented(layer)
        ratio = (layer.alpha / layer.beta).to(outer.dtype)
        outer = outer * ratio  # (rank, n)
        both = outer.new_empty(2, *outer.shape)
        frozen, whole = both.unbind()  # (rank, n), (rank, n)
        if matrix.dtype == inner.dtype:
            torch.mm(inner, matrix, out=frozen)
        else:
            frozen.copy_(frozen_product(inner, matrix))
        # With u = ratio * B a: <w, u> below comes from B^T w, <w + u, u> from
        # B^T (w + u), and both with w^T w give the norm.
        torch.addmm(frozen, inner.mm(inner.t()), outer, out=whole)
        cross, rest = both.mul(outer).sum(1).unbind()  # (n,), (n,)
        total = (layer.base + cross).add_(rest)  # (n,)
        left = surplus(total, cross)
        # Where W0 and BA cancel, rounding may leave a negative sum, whose root
        # is NaN.
        inverse = torch.maximum(total, layer.floor).rsqrt_()
        inverse.nan_to_num_(float('nan'), 0.0, 0.0).copysign_(layer.beta)
    return Norms(ratio, outer, whole, inverse, left)


def scaled_factors(
    layer: NormedLayer, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Put alpha, beta and magnitudes over norms into the parts of a layer.

    Args:
        layer (NormedLayer): The layer.
        scale (Tensor): Magnitudes over norms, shape (in,) or (out,).

    Returns:
        tuple[Tensor, Tensor, Tensor]: Factors (rank, in) and (out, rank), and
        the gain of the frozen part, shaped as the scale. Differentiable.
    """
    down, up = layer.lora_a, layer.alpha * layer.lora_b
    if layer.side == 'in':
        down = down * scale
    else:
        up = up * scale.unsqueeze(1)
    return down, up, layer.beta * scale


def plain_normed_linear(
    x: Tensor, x_low: Tensor | None, layer: NormedLayer
) -> Tensor:
    """Compute a layer of which no column is thin, in torch's own operations.

    Args:
        x (Tensor): Shape (T, in), in the compute type.
        x_low (Tensor, optional): Input of the low-rank path, shape (T, in).
            None means ``x``.
        layer (NormedLayer): The layer.

    Returns:
        Tensor: Shape (T, out), differentiable as often as asked.
    """
    sqnorm, _ = adapted_sqnorm(
        layer.weight,
        layer.lora_a,
        layer.lora_b,
        layer.alpha,
        layer.beta,
        layer.base,
        layer.side,
        lambda _: False,
    )
    scale = magnitude_scale(layer.magnitude, sqnorm, layer.detach_norm)
    down, up, gain = scaled_factors(layer, scale)
    down, up = down.to(x.dtype), up.to(x.dtype)
    weight, bias = layer.weight, layer.bias
    return plain_adapted_linear(
        x, x_low, weight, bias, down, up, gain, layer.side
    )
