"""Low-rank adapted linear maps in factored form.

Nothing here builds a tensor of the size of the weight (out, in), neither in
the forward nor in the backward pass. The one exception is mixed precision,
where the frozen weight is cast to the compute type, as autocast does for any
linear layer; the cast is not kept for the backward pass.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mmtpr.utils.precision import compute_dtype, full_precision

from .transforms import is_transformed

_CHUNK = 512


def scaled(x: Tensor, gain: Tensor) -> Tensor:
    """Multiply by a gain of higher precision and round the product.

    Rounded before, a gain in bfloat16 would have 8 bits: what moves it by
    less than 0.4% would change nothing.

    Args:
        x (Tensor): Shape (..., n).
        gain (Tensor): Shape (n,), not differentiated here.

    Returns:
        Tensor: Shape (..., n), in the type of ``x``.
    """
    if x.dtype == gain.dtype or torch.compiler.is_compiling():
        return (x * gain).to(x.dtype)
    return torch.mul(x, gain, out=torch.empty_like(x))  # one kernel


def column_dots(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum over rows of ``left * right``.

    Args:
        left (Tensor): Shape (T, n).
        right (Tensor): Shape (T, n).
        dtype (torch.dtype): Type of the sums.

    Returns:
        Tensor: Shape (n,).
    """
    if (
        torch.compiler.is_compiling()
        or left.device.type != 'cpu'
        or len(left) <= _CHUNK
    ):
        return (left * right).sum(0, dtype=dtype)
    # A chunk of rows fits a cache; the whole product would be (T, n) again.
    total = left.new_zeros(left.shape[1], dtype=dtype)  # (n,)
    for a, b in zip(left.split(_CHUNK), right.split(_CHUNK), strict=True):
        total += (a * b).sum(0, dtype=dtype)
    return total


class AdaptedLinearFunction(Function):
    r"""A frozen linear map, scaled on one side, plus a low-rank map.

    With :math:`x` the input, :math:`\tilde x` the input of the low-rank path
    (they differ by dropout), :math:`g` the gain and D, U the two factors:

    - ``side='in'``: :math:`y = W_0 (g \odot x) + U D \tilde x + b`
    - ``side='out'``: :math:`y = g \odot (W_0 x) + U D \tilde x + b`
    - no gain: :math:`y = W_0 x + U D \tilde x + b`

    Kept for the backward pass: the inputs, the (T, rank) product and, for
    ``'out'``, the (T, out) product; never a weight-sized tensor. A gradient
    that is to be differentiated again comes from the plain formula.
    """

    @staticmethod
    def forward(
        ctx,
        x: Tensor,
        x_low: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        gain: Tensor | None,
        side: str,
    ) -> Tensor:
        """Compute the output.

        Args:
            ctx: Autograd's context.
            x (Tensor): Shape (T, in), already in the compute type.
            x_low (Tensor, optional): Input of the low-rank path, shape
                (T, in). None means ``x``.
            weight (Tensor): Frozen weight, shape (out, in).
            bias (Tensor, optional): Shape (out,).
            down (Tensor): Shape (rank, in), in the compute type.
            up (Tensor): Shape (out, rank), in the compute type.
            gain (Tensor, optional): Shape (in,) or (out,).
            side (str): ``'in'`` or ``'out'``, the side of ``gain``.

        Returns:
            Tensor: Shape (T, out).
        """
        matrix = weight.to(x.dtype)
        bias = None if bias is None else bias.to(x.dtype)
        # Through the rank first, U (D x): the product U D is weight-sized.
        low = (x if x_low is None else x_low) @ down.t()  # (T, rank)
        base = None
        if gain is None:
            y = linear(x, matrix, bias)  # (T, out)
        elif side == 'in':
            y = linear(scaled(x, gain), matrix, bias)
        else:
            base = x @ matrix.t()  # (T, out)
            y = scaled(base, gain)
            y = y if bias is None else y.add_(bias)
        y.addmm_(low, up.t())
        ctx.side, ctx.has_bias = side, bias is not None
        ctx.save_for_backward(x, x_low, weight, down, up, gain, low, base)
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of everything but the frozen weight.

        Args:
            ctx: Autograd's context.
            grad (Tensor): Shape (T, out).

        Returns:
            tuple[Tensor | None, ...]: One gradient an argument of
            :meth:`forward`.
        """
        need_x, need_low, _, need_bias, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, grad)
        with full_precision(grad.device):
            # Read once: activation checkpointing gives them only once.
            x, x_low, weight, down, up, gain, low, base = ctx.saved_tensors
            grad_low = grad @ up  # (T, rank)
            # (rank, T) @ (T, out), then turned: the thin side comes first.
            grad_up = (low.t() @ grad).t()  # (out, rank)
            low_input = x if x_low is None else x_low
            grad_down = grad_low.t() @ low_input  # (rank, in)
            grad_x, grad_gain = _backward_base(
                ctx, grad, x, weight, gain, base
            )
            if grad_x is not None and need_x and x_low is None:
                grad_x.addmm_(grad_low, down)
            grad_x_low = grad_low @ down if need_low else None  # (T, in)
            grad_bias = grad.sum(0) if need_bias else None  # (out,)
        return (
            grad_x if need_x else None,
            grad_x_low,
            None,
            grad_bias,
            grad_down,
            grad_up,
            grad_gain,
            None,
        )


def _differentiable_backward(ctx, grad: Tensor) -> tuple[Any, ...]:
    """Gradients of :func:`plain_adapted_linear`, which torch derives again."""
    x, x_low, weight, down, up, gain, *_ = ctx.saved_tensors
    bias = None
    if ctx.has_bias:  # its value changes no gradient
        bias = grad.new_zeros(weight.shape[0], requires_grad=True)  # (out,)
    inputs: list[Any] = [x, x_low, weight, bias, down, up, gain]
    needed = [
        i for i, need in enumerate(ctx.needs_input_grad[:7]) if need and i != 2
    ]
    with full_precision(grad.device):
        y = plain_adapted_linear(*(*inputs, ctx.side))  # (T, out)
        grads = torch.autograd.grad(
            y,
            [inputs[i] for i in needed],
            grad,
            create_graph=True,
            materialize_grads=True,
        )
    found = dict(zip(needed, grads, strict=True))
    return (*(found.get(i) for i in range(7)), None)


def plain_adapted_linear(
    x: Tensor,
    x_low: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    gain: Tensor | None,
    side: str,
) -> Tensor:
    """Compute :class:`AdaptedLinearFunction` in torch's own operations.

    It keeps more for the backward pass, and every transform of torch knows
    it. Arguments and result are those of the function.
    """
    matrix = weight.to(x.dtype)
    low = (x if x_low is None else x_low) @ down.t()  # (T, rank)
    if gain is not None and side == 'in':
        x = (x * gain).to(x.dtype)  # (T, in)
    y = x @ matrix.t()  # (T, out)
    if gain is not None and side == 'out':
        y = (y * gain).to(x.dtype)
    y = y if bias is None else y + bias.to(x.dtype)
    return y + low @ up.t()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear map whose result may be added to in place.

    Args:
        x (Tensor): Shape (T, in).
        weight (Tensor): Shape (out, in).
        bias (Tensor, optional): Shape (out,).

    Returns:
        Tensor: Shape (T, out).
    """
    if bias is None:
        return x @ weight.t()
    return torch.addmm(bias, x, weight.t())


def _backward_base(
    ctx,
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    gain: Tensor | None,
    base: Any,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the frozen path: input (T, in), gain (n,)."""
    need_x, need_gain = ctx.needs_input_grad[0], ctx.needs_input_grad[6]
    matrix = weight.to(grad.dtype)
    if gain is None:
        return (grad @ matrix if need_x else None), None
    if ctx.side == 'out':
        dots = column_dots(grad, base, gain.dtype) if need_gain else None
        return (scaled(grad, gain) @ matrix if need_x else None), dots
    if not (need_x or need_gain):
        return None, None
    # One product serves both: y = W (g * x), so dx = g * (W^T dy) and
    # dg = x * (W^T dy), summed over rows.
    grad_x = grad @ matrix  # (T, in)
    dots = column_dots(grad_x, x, gain.dtype) if need_gain else None
    return grad_x.mul_(gain), dots


def adapted_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    gain: Tensor | None = None,
    side: str = 'in',
    x_low: Tensor | None = None,
) -> Tensor:
    """Apply :class:`AdaptedLinearFunction` to inputs of any leading shape.

    Under autocast the products run in autocast's type.

    Args:
        x (Tensor): Shape (..., in).
        weight (Tensor): Frozen weight, shape (out, in).
        bias (Tensor, optional): Shape (out,).
        down (Tensor): Shape (rank, in).
        up (Tensor): Shape (out, rank).
        gain (Tensor, optional): Shape (in,) or (out,).
        side (str): ``'in'`` or ``'out'``. Defaults to ``'in'``.
        x_low (Tensor, optional): Input of the low-rank path, shape (..., in).
            None means ``x``.

    Returns:
        Tensor: Shape (..., out).
    """
    dtype = compute_dtype(x)
    flat = x.to(dtype).reshape(-1, x.shape[-1])  # (T, in)
    if x_low is not None:
        x_low = x_low.to(dtype).reshape(-1, x.shape[-1])  # (T, in)
    arguments = (
        *(flat, x_low, weight, bias),
        *(down.to(dtype), up.to(dtype), gain, side),
    )
    with full_precision(x.device):
        if torch.jit.is_tracing() or is_transformed(arguments):
            y = plain_adapted_linear(*arguments)
        else:
            y = AdaptedLinearFunction.apply(*arguments)
    return y.reshape(*x.shape[:-1], weight.shape[0])


def add_columns(
    y: Tensor, x: Tensor, columns: Tensor, index: Tensor, side: str
) -> Tensor:
    """Add the output of some columns or rows of a weight.

    Args:
        y (Tensor): Output without them, shape (..., out).
        x (Tensor): Input, shape (..., in).
        columns (Tensor): The c columns, shape (out, c), or, turned, the rows,
            shape (in, c).
        index (Tensor): Which they are, shape (c,), long.
        side (str): ``'in'`` for columns, ``'out'`` for rows.

    Returns:
        Tensor: Shape (..., out), in the type of ``y``.
    """
    with full_precision(x.device):
        x, columns = x.to(y.dtype), columns.to(y.dtype)
        if side == 'in':
            return y + x[..., index] @ columns.t()
        return y.index_add(-1, index, x @ columns)
