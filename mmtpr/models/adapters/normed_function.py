"""A layer with normed columns as one function, which starts few kernels.

What the norm adds to a layer are vectors of one side of the weight and
products with the rank: cheap to compute, dear to start. So gradients are
written out here, and what serves twice is computed once.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mmtpr.utils.precision import cast_all, compute_dtype, full_precision

from .functional import column_dots, linear, scaled
from .norm import frozen_product
from .normed_layer import NormedLayer, Norms, plain_normed_linear


class NormedLinearFunction(Function):
    """A layer of which no column is thin, and its gradients in closed form.

    Kept for the backward pass: the inputs in the compute type, the (T, rank)
    product, a few (rank, n) and, for ``'out'``, the (T, out) product before
    magnitudes; never a weight-sized tensor. A gradient that is to be
    differentiated again comes from the plain formula.
    """

    @staticmethod
    def forward(
        ctx,
        x: Tensor,
        x_low: Tensor | None,
        norms: Norms,
        side: str,
        detach_norm: bool,
        dtype: torch.dtype,
        base: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *trained: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the output.

        Args:
            ctx: Autograd's context.
            x (Tensor): Shape (..., in).
            x_low (Tensor, optional): Input of the low-rank path, shape
                (..., in), in the compute type. None means ``x``.
            norms (Norms): From :func:`layer_norms`.
            side (str): ``'in'`` or ``'out'``.
            detach_norm (bool): Whether the norm is a constant.
            dtype (torch.dtype): The compute type.
            base (Tensor): Squared norm of the frozen weight, shape (n,).
            weight (Tensor): Frozen weight, shape (out, in).
            bias (Tensor, optional): Shape (out,).
            *trained (Tensor): A, B, magnitude, alpha, beta.

        Returns:
            tuple[Tensor, Tensor | None]: The output, shape (..., out), and
            ``x`` in the compute type if it had to be cast: what is kept for
            the backward pass has to be known to autograd.
        """
        a, b, magnitude, alpha, beta = trained
        scale = magnitude.to(norms.inverse.dtype) * norms.inverse  # (n,)
        down, up = (norms.outer, b) if side == 'in' else (a, norms.outer.t())
        parts = [x, weight, down, up, bias if side == 'in' else None]
        given, matrix, down, up, shift = cast_all(parts, dtype)
        row, low = _rows(given), _rows(given if x_low is None else x_low)
        before = None
        # Through the rank first: the product of the factors is weight-sized.
        if side == 'in':
            row = scaled(row, scale)  # (T, in)
            low = row if x_low is None else scaled(low, scale)
            low = low.mm(down.t())  # (T, rank)
            y = linear(row, matrix, shift).addmm_(low, up.t())  # (T, out)
        else:
            low = low.mm(down.t())  # (T, rank)
            before = row.mm(matrix.t()).addmm_(low, up.t())  # (T, out)
            y = torch.empty_like(before)
            if bias is None:
                torch.mul(before, scale, out=y)
            else:
                torch.addcmul(bias, before, scale, out=y)
        # As buffers, the two may be written in place before the backward pass,
        # which needs them for second derivatives only.
        pair: tuple[Tensor, ...] = (alpha, beta)
        trains = alpha.requires_grad or beta.requires_grad
        ctx.fixed, pair = ((), pair) if trains else (pair, ())
        ctx.settings = side, detach_norm, x.dtype, base, bias is not None
        ctx.save_for_backward(
            *(given, x_low, weight, scale, down, up, low, before),
            *(*norms[:4], a, b, magnitude, *pair),
        )
        ctx.set_materialize_grads(False)
        if x.dim() != 2:
            # No view, into which the next layer could not write in place.
            shape = (*x.shape[:-1], y.shape[1])
            y = torch.ops.aten._unsafe_view(y, shape)
        return y, (None if given is x else given)

    @staticmethod
    def backward(
        ctx, grad: Tensor | None, grad_given: Tensor | None
    ) -> tuple[Any, ...]:
        """Gradients of everything but the frozen weight.

        Args:
            ctx: Autograd's context.
            grad (Tensor, optional): Shape (..., out).
            grad_given (Tensor, optional): Gradient of the cast input, shape
                (..., in): from second derivatives.

        Returns:
            tuple: One gradient an argument of :meth:`forward`.
        """
        grads: list[Any] = [None] * len(ctx.needs_input_grad)
        if grad is not None:
            with full_precision(grad.device):
                if torch.is_grad_enabled():
                    _differentiable_backward(ctx, grad, grads)
                else:
                    _closed_backward(ctx, grad, grads)
        if grad_given is not None:
            grad_given = grad_given.to(ctx.settings[2])
            grads[0] = (
                grad_given if grads[0] is None else grads[0] + grad_given
            )
        return tuple(grads)


def _rows(tensor: Any) -> Any:
    """Flatten (..., n) to (T, n)."""
    if tensor is None or tensor.dim() == 2:
        return tensor
    return tensor.reshape(-1, tensor.shape[-1])


def _differentiable_backward(ctx, grad: Tensor, grads: list[Any]) -> None:
    """Fill in the gradients of the plain formula, which torch derives."""
    side, detach, _, base, has_bias = ctx.settings
    saved = ctx.saved_tensors
    x, x_low, weight = saved[:3]
    trained: Any = (*saved[12:], *ctx.fixed)
    bias = None
    if has_bias:  # its value changes no gradient
        bias = grad.new_zeros(weight.shape[0], requires_grad=True)  # (out,)
    parts: Any = (weight, bias, *trained, base, base, side, detach)
    layer = NormedLayer(*parts)
    y = plain_normed_linear(_rows(x), _rows(x_low), layer)  # (T, out)
    inputs = {0: x, 1: x_low, 8: bias, **dict(enumerate(trained, 9))}
    needed = [i for i in inputs if ctx.needs_input_grad[i]]
    found = torch.autograd.grad(
        y,
        [inputs[i] for i in needed],
        _rows(grad),
        create_graph=True,
        materialize_grads=True,
    )
    for i, value in zip(needed, found, strict=True):
        grads[i] = value


def _closed_backward(ctx, grad: Tensor, grads: list[Any]) -> None:
    """Fill in the gradients, without a graph."""
    # Read once: activation checkpointing gives them only once.
    x, x_low, *saved = ctx.saved_tensors
    side, detach, x_dtype, *_ = ctx.settings
    rows = _rows(grad)  # (T, out)
    through: Any = _through_columns if side == 'in' else _through_rows
    given = (rows, _rows(x), _rows(x_low), *saved[:6])
    is_needed = ctx.needs_input_grad[0]
    grad_x, grad_low, *of_scale = through(*given, is_needed, x_dtype)
    if is_needed:
        grads[0] = grad_x.to(x_dtype).view_as(x)
    if x_low is not None:
        grads[1] = grad_low.view_as(x_low)
    if ctx.needs_input_grad[8]:
        grads[8] = rows.sum(0)  # (out,)
    outer, inner, grads[11] = _factor_gradients(saved, side, detach, *of_scale)
    ratio, a, b = saved[6], saved[10], saved[11]
    if not ctx.fixed:
        factor, beta = a if side == 'in' else b, saved[14]
        pull = torch.dot(outer.flatten(), factor.flatten().to(outer.dtype))
        grads[12] = by_alpha = pull / beta
        grads[13] = (by_alpha * ratio).neg()
        if detach:  # a constant norm lets all grow with beta
            grads[13] += torch.dot(of_scale[0], saved[1]) / beta
    pair = [outer.mul_(ratio), inner]
    grads[9:11] = pair if side == 'in' else pair[::-1]


def _through_columns(
    grad: Tensor,
    x: Tensor,
    x_low: Tensor | None,
    weight: Tensor,
    scale: Tensor,
    down: Tensor,
    up: Tensor,
    low: Tensor,
    _: None,
    need_x: bool,
    x_dtype: torch.dtype,
) -> tuple[Any, ...]:
    """Gradients where the input is scaled.

    Returns those of x and x_low (T, in), of the scale (n,), and of both
    factors as if the scale were a constant, (rank, n) and (rank, k).
    """
    grad_low = grad.mm(up)  # (T, rank)
    # (rank, T) @ (T, out): the thin side comes first.
    inner = low.t().mm(grad)  # (rank, out)
    grad_x, grad_x_low = grad.mm(weight.to(grad.dtype)), None  # (T, in)
    if x_low is None:
        outer = grad_low.t().mm(x) * scale  # (rank, in)
        grad_x.addmm_(grad_low, down)
        dots = column_dots(grad_x, x, scale.dtype)  # (in,)
    else:
        outer = grad_low.t().mm(x_low) * scale  # (rank, in)
        grad_x_low = grad_low.mm(down)  # (T, in)
        dots = column_dots(grad_x_low, x_low, scale.dtype)
        dots += column_dots(grad_x, x, scale.dtype)
        grad_x_low.mul_(scale)
    if not need_x:
        return None, grad_x_low, dots, outer, inner
    # In the type of the input at once, if that is the type of the scale.
    is_wider = x_dtype == scale.dtype != grad_x.dtype
    grad_x = grad_x * scale if is_wider else grad_x.mul_(scale)
    return grad_x, grad_x_low, dots, outer, inner


def _through_rows(
    grad: Tensor,
    x: Tensor,
    x_low: Tensor | None,
    weight: Tensor,
    scale: Tensor,
    down: Tensor,
    up: Tensor,
    low: Tensor,
    before: Tensor,
    need_x: bool,
    _: torch.dtype,
) -> tuple[Any, ...]:
    """Gradients where the output is scaled, as :func:`_through_columns`."""
    dots = column_dots(grad, before, scale.dtype)  # (out,)
    grad = scaled(grad, scale)  # (T, out)
    grad_low = grad.mm(up)  # (T, rank)
    outer = low.t().mm(grad)  # (rank, out)
    inner = grad_low.t().mm(x if x_low is None else x_low)  # (rank, in)
    grad_x = grad_x_low = None
    if need_x:
        grad_x = grad.mm(weight.to(grad.dtype))  # (T, in)
        if x_low is None:
            grad_x.addmm_(grad_low, down)
    if x_low is not None:
        grad_x_low = grad_low.mm(down)  # (T, in)
    return grad_x, grad_x_low, dots, outer, inner


def _factor_gradients(
    saved: list[Any],
    side: str,
    detach: bool,
    dots: Tensor,
    outer: Tensor,
    inner: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the outer factor times ratio, the inner and magnitude.

    With V the weight over beta, g the gradient of the scale s = m / |V| and
    t = g s / |V|^2, the norm takes V diag(t) from the gradient of V. Times the
    inner factor, this is ``products * t``.
    """
    matrix, scale = saved[:2]
    scaled_outer, products, inverse, a, b = saved[7:12]
    # [g / |V|, s / |V|]: the gradient of m, and what makes t of it.
    magnitude, steep = torch._foreach_mul([dots, scale], [inverse, inverse])
    if not detach:
        t = magnitude * steep  # (n,)
        weighted = scaled_outer * t  # (rank, n)
        turned, other = (matrix.t(), b.t()) if side == 'in' else (matrix, a)
        taken = frozen_product(weighted, turned)  # (rank, k)
        gram = weighted.mm(scaled_outer.t())  # (rank, rank)
        taken.addmm_(gram, other.to(taken.dtype))
        if side == 'in':
            outer.addcmul_(products, t, value=-1)  # (rank, in)
            inner = _difference(inner.t(), taken.t())  # (out, rank)
        else:
            outer = _difference(outer.t(), products.t(), t[:, None])
            inner = _difference(inner, taken)  # (rank, in)
    elif side == 'in':
        inner = inner.t()  # (out, rank)
    else:
        outer = outer.t().to(scale.dtype)  # (out, rank)
    return outer, inner, magnitude


def _difference(
    left: Tensor, right: Tensor, factor: Tensor | None = None
) -> Tensor:
    """``left - right * factor``, laid out as a parameter, in right's type."""
    result = right.new_empty(right.shape)
    if factor is None:
        return torch.sub(left, right, out=result)
    return torch.addcmul(left, right, factor, value=-1, out=result)


def normed_linear(
    x: Tensor, x_low: Tensor | None, layer: NormedLayer, norms: Norms
) -> Tensor:
    """Apply :class:`NormedLinearFunction` to inputs of any leading shape.

    Under autocast the products run in autocast's type.

    Args:
        x (Tensor): Shape (..., in).
        x_low (Tensor, optional): Input of the low-rank path, shape (..., in).
            None means ``x``.
        layer (NormedLayer): The layer, of which no column is thin.
        norms (Norms): Its norms, from :func:`layer_norms`.

    Returns:
        Tensor: Shape (..., out).
    """
    dtype = compute_dtype(x)
    if x_low is not None:
        x_low = x_low.to(dtype)
    *parts, base, _, side, detach = layer
    with full_precision(x.device):
        y, _ = NormedLinearFunction.apply(
            *(x, x_low, norms, side, detach, dtype, base), *parts
        )
    return y
