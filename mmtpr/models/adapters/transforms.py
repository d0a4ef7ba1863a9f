"""Tensors that one of torch's function transforms looks at."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


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
    if (
        torch._C._functorch.peek_interpreter_stack() is None
        and forward_ad._current_level < 0
    ):
        return False  # at once: this is asked in every forward pass
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return any(
        wrapped(tensor) or forward_ad.unpack_dual(tensor).tangent is not None
        for tensor in arguments
        if isinstance(tensor, Tensor)
    )


def is_recorded() -> bool:
    """Tell whether ``make_fx`` writes the operations down.

    Returns:
        bool: True if it does.
    """
    key = torch._C._TorchDispatchModeKey.PROXY
    return torch._C._get_dispatch_mode(key) is not None


def is_plain(arguments: Iterable[Any]) -> bool:
    """Tell whether a function of our own may compute something.

    Args:
        arguments (Iterable[Any]): Its arguments.

    Returns:
        bool: False where torch has to see each operation: in a transform,
        while it traces and while it compiles.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return not (is_recorded() or is_transformed(arguments))
