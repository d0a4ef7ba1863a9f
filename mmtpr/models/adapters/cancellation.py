"""Columns in which the frozen and the low-rank part of a weight cancel.

Where little of a column is left, its norm by rank-sized products and the sum
of two outputs keep few digits. Such columns are rare: they alone are rebuilt,
in float64.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .transforms import is_recorded

#: Share of the squares of a column's parts below which it is rebuilt. At this
#: share the norm by rank-sized products is off by about 10 units of rounding.
_LEFT = 1 / 8


class ThinColumns(NamedTuple):
    """Columns of an adapted weight of which little is left.

    Attributes:
        index (Tensor | slice): Which of the n columns, shape (c,), long.
        weight (Tensor): ``beta * W0 + alpha * B A`` there, shape (k, c),
            float64, differentiable.
        sqnorm (Tensor): Its squared norm, shape (c,), float64.
    """

    index: Any
    weight: Tensor
    sqnorm: Tensor


def surplus(total: Tensor, cross: Tensor) -> Tensor:
    """Tell how far columns are from being thin; below 0 one is thin.

    A column of parts a and b is thin where little is left of their squares:
    ``total < left * (total - 2 * cross)``. A norm that is too large for its
    type, as that of a weight over a beta next to 0, gives NaN.

    Args:
        total (Tensor): Squared norm of each column, shape (n,).
        cross (Tensor): Product of its two parts, shape (n,).

    Returns:
        Tensor: Of shape (n,), in units of the squared norm.
    """
    # total + w (cross - total), which is inf - inf where the total is inf.
    return torch.lerp(total, cross, 2 * _LEFT / (1 + _LEFT))


def rebuild_columns(
    index: Tensor | slice,
    matrix: Tensor,
    outer: Tensor,
    inner: Tensor,
    alpha: Tensor,
    beta: Tensor,
) -> ThinColumns:
    """Compute columns of an adapted weight entry by entry.

    Args:
        index (Tensor | slice): Which columns, shape (c,), long.
        matrix (Tensor): Frozen weight, shape (k, n).
        outer (Tensor): Factor on the side of the columns, shape (rank, n).
        inner (Tensor): The other factor, shape (rank, k).
        alpha (Tensor): Factor of the low-rank part, one number.
        beta (Tensor): Factor of the frozen weight, one number.

    Returns:
        ThinColumns: The columns.
    """
    has_double = matrix.device.type != 'mps'
    dtype = torch.float64 if has_double else torch.float32
    frozen = matrix[:, index].to(dtype)  # (k, c)
    change = inner.to(dtype).t() @ outer[:, index].to(dtype)  # (k, c)
    weight = beta.to(dtype) * frozen + alpha.to(dtype) * change  # (k, c)
    # Below this a column is nothing but the rounding of the parameters.
    unit = torch.finfo(outer.dtype).eps
    floor = (unit * beta.detach().to(dtype)).square() * frozen.square().sum(0)
    return ThinColumns(
        index, weight, torch.maximum(weight.square().sum(0), floor)
    )


class ThinWatch:
    """Answer to "is any column thin?" that lets an accelerator run on.

    On the CPU the answer is read at once. On other devices reading it makes
    the program wait for the device in every layer. While training, the answer
    of the parameters before the last step is taken there, which has long been
    computed; a step changes a column by little. It depends on the version of
    the parameters alone, so that a forward pass that is done again for its
    activations takes the same way.
    """

    def __init__(self) -> None:
        self._known = False
        self._version: tuple | None = None
        self._answer: Tensor | None = None  # the least, of _version
        self._arrival: torch.cuda.Event | None = None

    def any(self, left: Tensor, version: tuple | None) -> bool:
        """Tell whether the columns have to be looked at one by one.

        Args:
            left (Tensor): :func:`surplus` of the columns, shape (n,).
            version (tuple, optional): Changes with the parameters; None where
                the answer has to be that of now.

        Returns:
            bool: True if one of them is, or the number of one is NaN.
        """
        if torch.compiler.is_compiling() or _is_captured(left):
            return self._known
        # On the meta device and in torch's fake tensors there are no numbers.
        if left.is_meta or type(left).__name__ == 'FakeTensor':
            return False
        if left.device.type == 'cpu' or version is None:
            self._version, self._known = None, _any_below(left.amin())
        elif self._version is None:
            self._known = _any_below(left.amin())
            self._ask(left, version)
        elif version != self._version:
            if self._arrival is not None:
                self._arrival.synchronize()
            answer = self._answer
            self._known = answer is not None and _any_below(answer)
            self._ask(left, version)
        return self._known

    def _ask(self, left: Tensor, version: tuple) -> None:
        """Let the answer come without waiting for it."""
        self._version, self._answer = version, left.amin()
        if left.is_cuda:
            answer = torch.empty((), dtype=left.dtype, pin_memory=True)
            answer.copy_(self._answer, non_blocking=True)
            self._arrival = torch.cuda.Event()
            self._arrival.record()
            self._answer = answer

    def __reduce__(self) -> tuple:
        """Copy and pickle: a copied layer starts anew."""
        return ThinWatch, ()


def _any_below(least: Tensor) -> bool:
    """Tell whether the least is below 0, or is no number."""
    return not least.item() >= 0


def _is_captured(tensor: Tensor) -> bool:
    """Tell whether a graph is being recorded, which knows no numbers."""
    if is_recorded():
        return True
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
