"""Facts that decide what a model computes and are not among its weights.

An activation, an image size, a number of text tokens: two models of the same
keys and shapes may differ in them and give other features. They travel in the
meta of a checkpoint, by the module they are of.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmtpr.utils.errors import LaunchError

#: Name of the facts in the meta of a checkpoint.
FACTS = 'function_facts'
# A difference in one of these gives other features without a word.
_COMPARED = ('quick_gelu', 'context_length')


def function_facts(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Collect the facts of all modules that tell them.

    Args:
        model (nn.Module): The model, not wrapped.

    Returns:
        dict[str, dict]: By name of the module, adapters' ``module`` left out,
        what its ``function_facts()`` gives: plain values.
    """
    return {
        plain_path(name): module.function_facts()
        for name, module in model.named_modules()
        if hasattr(type(module), 'function_facts')
    }


def plain_path(name: str) -> str:
    """Name of a module as it is without adapters around it.

    Args:
        name (str): Such as ``'encoder.module'``.

    Returns:
        str: Such as ``'encoder'``.
    """
    return '.'.join(part for part in name.split('.') if part != 'module')


def differing_facts(
    meta: Mapping[str, Any], model: nn.Module, source: str
) -> None:
    """Stop where a checkpoint was made by another function.

    Args:
        meta (Mapping): Meta of the checkpoint; older ones have no facts.
        model (nn.Module): The model, not wrapped.
        source (str): The checkpoint, for the message.

    Raises:
        LaunchError: If an activation or a number of text tokens differs.
    """
    given, own = meta.get(FACTS) or {}, function_facts(model)
    for path in given.keys() & own.keys():
        for name in _COMPARED:
            theirs, ours = given[path].get(name), own[path].get(name)
            if None not in (theirs, ours) and theirs != ours:
                raise LaunchError(
                    f'"{source}" was trained with {name}={theirs}, but the '
                    f'config gives {path} {name}={ours}: the same weights '
                    f'would give other features. Set {name}={theirs} there.'
                )
