"""Merging adapters into the weights of a whole model, and back."""

import logging
from typing import Any

from mmengine.logging import print_log
from torch import nn

from .attention import AdaptedMultiheadAttention
from .fused_qkv import AdaptedQKV
from .layer import AdapterLayer, without_adapter
from .nested import restore_nested_tensors
from .stale import renew_stale_norms
from .state import check_adapter_keys, named_adapters, unwrap


def merge_adapters(model: nn.Module, remove: bool = False) -> nn.Module:
    """Merge all adapters of a model, in place.

    Args:
        model (nn.Module): A model with adapters.
        remove (bool): False: the adapters stay, can be unmerged, and
            ``state_dict`` still describes the unmerged model. True: every
            adapted layer becomes the plain layer it was before injection and
            every ``AdapterModel`` below is replaced by its module, so modules
            and state-dict keys are those of the model before adapters; there
            is no way back, and what was frozen stays frozen. Defaults to
            False.

    Returns:
        nn.Module: The model. With ``remove`` and an ``AdapterModel`` on top,
        its module.

    Raises:
        ValueError: If the model has no adapters.
    """
    adapters = [adapter for _, adapter in named_adapters(unwrap(model))]
    if not adapters:
        raise ValueError('There are no adapters to merge in this model.')
    renew_stale_norms(unwrap(model))
    ties = tied_weights(unwrap(model)) if remove else {}
    if ties:
        print_log(
            f'{explain_ties(ties)}; they are untied now.',
            logger='current',
            level=logging.WARNING,
        )
    for adapter in adapters:
        adapter.merge()
    if not remove:
        return model
    plain = _plain(unwrap(model), {})
    restore_nested_tensors(plain)
    return plain


def remove_adapters(model: nn.Module) -> nn.Module:
    """Take all adapters out, as if they had never been there.

    Args:
        model (nn.Module): A model with adapters, changed in place; what else
            was trained stays as it is.

    Returns:
        nn.Module: The model with the frozen weights and without adapters, see
        ``remove`` of :func:`merge_adapters`.
    """
    plain = _plain(unwrap(model), {}, merged=False)
    restore_nested_tensors(plain)
    return plain


def unmerge_adapters(model: nn.Module) -> nn.Module:
    """Undo :func:`merge_adapters`, bit for bit.

    Args:
        model (nn.Module): A model with merged adapters; layers that are not
            merged stay as they are.

    Returns:
        nn.Module: The model.
    """
    for _, adapter in named_adapters(unwrap(model)):
        adapter.unmerge()
    return model


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


def _plain(
    module: nn.Module, done: dict[int, nn.Module], merged: bool = True
) -> nn.Module:
    """The module without adapters; shared modules stay shared."""
    if id(module) in done:
        return done[id(module)]
    key = id(module)
    plain: Any
    if isinstance(module, AdapterLayer):
        plain = without_adapter(module, merged)
    elif isinstance(module, AdaptedMultiheadAttention | AdaptedQKV):
        plain = module.plain(merged)
    else:
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = _plain(child, done, merged)
        _drop_load_check(module)
        is_wrapper = getattr(type(module), 'wraps_adapted_module', False)
        plain = module.module if is_wrapper else module
    done[key] = plain
    return plain


def _drop_load_check(module: nn.Module) -> None:
    hooks = module._load_state_dict_pre_hooks
    for key, hook in list(hooks.items()):
        if getattr(hook, 'hook', hook) is check_adapter_keys:
            del hooks[key]
