"""Options of an adapter that its files hold, since they change its weight."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmtpr.checkpoints.completeness import ADAPTER_OPTIONS


def refuse_other_options(
    own: Mapping[str, Tensor], given: Mapping[str, Any]
) -> None:
    """Stop at a file that was written with another option of an adapter.

    Args:
        own (Mapping[str, Tensor]): State dict of the model.
        given (Mapping[str, Tensor]): What is being loaded.

    Raises:
        RuntimeError: If the same numbers mean another weight.
    """
    for key, tensor in own.items():
        layer, _, leaf = key.rpartition('.')
        if leaf not in ADAPTER_OPTIONS or key not in given or tensor.is_meta:
            continue
        theirs = given[key]
        if not theirs.is_meta and theirs.item() != tensor.item():
            option = ADAPTER_OPTIONS[leaf]
            raise RuntimeError(
                f'{option} of "{layer}" is {_value(leaf, theirs)} in the file '
                f'and {_value(leaf, tensor)} in the model; set the option '
                f'{option} to that of the file. Nothing was loaded.'
            )


def _value(leaf: str, tensor: Tensor) -> str:
    """The option as a config says it."""
    number = tensor.item()
    if leaf == 'norm_rows':
        return repr('out' if number else 'in')
    return f'{number:g}'
