"""Cached norms of frozen weights that were written behind autograd's back."""

import logging

from mmengine.logging import print_log
from torch import nn

from .magnitudes import WithMagnitudes
from .state import named_adapters


def renew_stale_norms(model: nn.Module) -> list[str]:
    """Renew the cached norms that no longer fit their frozen weights.

    Writing into a weight is noticed by its version, but ``weight.data``,
    ``vector_to_parameters`` and numpy do not change that. An
    :class:`AdapterModel` calls this whenever its mode is set, so at the start
    of training and of evaluation, and before it is saved. Who injects adapters
    into a model of another class calls it after writing weights so.

    Args:
        model (nn.Module): A model with adapters.

    Returns:
        list[str]: Names of the layers whose norms were renewed. A WARNING
        counts them.
    """
    names, seen = [], set()
    for name, layer in named_adapters(model):
        if not isinstance(layer, WithMagnitudes) or layer in seen:
            continue
        seen.add(layer)
        if not layer.has_current_norm():
            layer.refresh()
            names.append(name)
    if names:
        print_log(
            f'The frozen weights of {len(names)} adapted layers were written '
            'in a way that torch does not notice (weight.data, '
            f'vector_to_parameters, numpy), such as {", ".join(names[:3])}. '
            'Their norms are renewed now; what was computed since the change '
            'used the norms of the former weights.',
            logger='current',
            level=logging.WARNING,
        )
    return names
