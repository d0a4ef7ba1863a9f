"""Torch's encoders that cut padding away, which adapters cannot read."""

from torch import nn

from .state import named_adapters

_BEFORE = '_use_nested_tensor_without_adapters'


def leave_nested_tensors(model: nn.Module) -> None:
    """Let encoders with adapted layers work on padded batches.

    In evaluation, ``nn.TransformerEncoder`` turns a padded batch into a
    nested tensor, which its fused layers read and other layers do not. The
    results for what is not padding are the same.

    Args:
        model (nn.Module): A model with adapters, changed in place.
    """
    for encoder in model.modules():
        if (
            isinstance(encoder, nn.TransformerEncoder)
            and getattr(encoder, 'use_nested_tensor', False)
            and any(True for _ in named_adapters(encoder))
        ):
            setattr(encoder, _BEFORE, encoder.use_nested_tensor)
            encoder.use_nested_tensor = False


def restore_nested_tensors(model: nn.Module) -> None:
    """Undo :func:`leave_nested_tensors` where the adapters are gone.

    Args:
        model (nn.Module): A model without adapters, changed in place.
    """
    for encoder in model.modules():
        if _BEFORE in vars(encoder):
            encoder.use_nested_tensor = vars(encoder).pop(_BEFORE)
