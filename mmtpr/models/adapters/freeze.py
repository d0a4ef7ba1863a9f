"""Freezing of all but adapters and chosen parameters."""

from collections.abc import Sequence

from torch import nn

from mmtpr.models.name_patterns import compile_patterns, covers, near_names

from .layer import AdapterLayer
from .state import named_adapters


def _frozen_bases(model: nn.Module) -> set[int]:
    return {
        id(parameter)
        for _, adapter in named_adapters(model)
        for parameter in adapter.parameters()
    }


def freeze_except_adapters(
    model: nn.Module, trainable: Sequence[str] = ()
) -> list[str]:
    r"""Freeze a model but for its adapters and what the patterns name.

    Args:
        model (nn.Module): A model with adapters.
        trainable (Sequence[str]): Regular expressions that must match the
            whole name of a parameter (``r'.*\.ln_\d\.weight'``) or of a
            module, all of whose parameters train then (``r'.*\.ln_\d'``).
            The frozen weights below adapters never train.

    Returns:
        list[str]: Names of the parameters that train.

    Raises:
        ValueError: If a pattern matches nothing that can train.
    """
    patterns = compile_patterns(trainable, 'trainable')
    bases = _frozen_bases(model)
    names = [n for n, p in model.named_parameters() if id(p) not in bases]
    model.requires_grad_(False)
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        matched = [name for name in names if covers(pattern, name)]
        if not matched:
            raise ValueError(
                f'The trainable pattern {pattern.pattern!r} matches no '
                'parameter that can train (weights below adapters cannot). '
                f'{near_names(pattern.pattern, names)}'
            )
        for name in matched:
            parameters[name].requires_grad_(True)
    for module in model.modules():
        if isinstance(module, AdapterLayer):
            for key in module.trained:
                getattr(module, key).requires_grad_(True)
    return [n for n, p in model.named_parameters() if p.requires_grad]
