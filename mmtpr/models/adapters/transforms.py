"""Tensors that one of torch's function transforms looks at."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


def is_transformed(arguments: Iterable[Any]) -> bool:
    """Tell whether vmap, jvp or another transform looks at the tensors.

    Args:
        arguments (Iterable[Any]): Tensors, and other things, which do not
            count.

    Returns:
        bool: True if one does.
    """
    if torch.compiler.is_compiling():  # which knows the transforms by itself
        return False
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return any(
        wrapped(tensor) or unpack_dual(tensor).tangent is not None
        for tensor in arguments
        if isinstance(tensor, Tensor)
    )
