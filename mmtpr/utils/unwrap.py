"""Models without what wraps them."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Take a model out of DDP and ``torch.compile``.

    Args:
        model (nn.Module): A model, wrapped or not.

    Returns:
        nn.Module: The innermost model.
    """
    while True:
        if is_model_wrapper(model):
            model = model.module
        elif hasattr(model, '_orig_mod'):
            model = model._orig_mod
        else:
            return model
