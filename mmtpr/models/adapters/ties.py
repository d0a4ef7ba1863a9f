"""Weights below adapters that other layers of the model share."""

from typing import Any

from torch import nn

from .state import named_adapters


def tied_weights(model: nn.Module) -> dict[str, str]:
    """Find the weights that an adapted layer shares with another layer.

    Such as a head whose weight is that of the embedding. A layer that appears
    in the model under two names is one layer.

    Args:
        model (nn.Module): A model with adapters.

    Returns:
        dict[str, str]: Name of the adapted layer -> name of the parameter
        that it shares.
    """
    own: dict[int, tuple[str, Any]] = {}
    for name, adapter in named_adapters(model):
        weight = adapter._backup if adapter.merged else adapter.linear.weight
        own.setdefault(id(weight), (name, adapter))
    ties: dict[str, str] = {}
    for prefix, module in model.named_modules():
        for key, parameter in module._parameters.items():
            name, adapter = own.get(id(parameter), ('', None))
            if adapter is None or module is adapter.linear:
                continue
            ties.setdefault(name, f'{prefix}.{key}' if prefix else key)
    return ties


def explain_ties(ties: dict[str, str]) -> str:
    """Say which weights are shared.

    Args:
        ties (dict[str, str]): Result of :func:`tied_weights`.

    Returns:
        str: The message.
    """
    listed = ', '.join(f'{a} with {b}' for a, b in [*ties.items()][:3])
    return (
        f'{len(ties)} adapted layers share their weight with another layer: '
        f'{listed}. Merged, the two weights differ, and a model that ties '
        'them cannot hold both'
    )
