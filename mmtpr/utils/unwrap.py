"""Models without what wraps them."""

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Take a model out of DDP and ``torch.compile``.

    Args:
        model (nn.Module): A model, wrapped or not.

    Returns:
        nn.Module: The innermost model.
    """
    inner: Any = model
    while True:
        if is_model_wrapper(inner):
            inner = inner.module
        elif hasattr(inner, '_orig_mod'):
            inner = inner._orig_mod
        else:
            return inner
