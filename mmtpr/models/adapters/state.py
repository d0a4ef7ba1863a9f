"""State dicts of adapters and the check of their keys on loading."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmtpr.checkpoints.completeness import (
    ADAPTER_LEAVES,
    ADAPTER_MARKS,
    as_number,
    fits_shape,
    may_lack,
)
from mmtpr.checkpoints.coverage import trained_keys
from mmtpr.utils.unwrap import unwrap

from .attention import AdaptedMultiheadAttention
from .file_options import refuse_other_options
from .fused_qkv import AdaptedQKV
from .layer import AdapterLayer


def named_adapters(model: nn.Module) -> Iterator[tuple[str, AdapterLayer]]:
    """All adapted layers of a model.

    Args:
        model (nn.Module): Any model.

    Yields:
        tuple[str, AdapterLayer]: Name and layer; a shared layer under each
        of its names.
    """
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, AdapterLayer):
            yield name, module


def _join(name: str, key: str) -> str:
    return f'{name}.{key}' if name else key


def adapter_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' own tensors and nothing else.

    Args:
        model (nn.Module): A model with adapters, wrapped by DDP or not.

    Returns:
        dict[str, Tensor]: Keys as in the unwrapped model's ``state_dict``:
        ``<layer>.lora_A``, ``.lora_B``, ``.magnitude``, ``.alpha``,
        ``.beta``, ``.pissa_A``, ``.pissa_B``, ``.oft_R``,
        ``.neumann_terms``, ``.norm_rows`` (1 for ``norm_dim='out'``), as far
        as the adapter has them. Detached, not copied.
    """
    return {
        _join(name, key): tensor.detach()
        for name, adapter in named_adapters(unwrap(model))
        for key in ADAPTER_LEAVES
        if (tensor := getattr(adapter, key, None)) is not None
    }


def trainable_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Everything training changes: adapters and what else is not frozen.

    Args:
        model (nn.Module): A model, wrapped by DDP or not.

    Returns:
        dict[str, Tensor]: The part of ``state_dict`` that holds adapters,
        parameters that require gradients, and the buffers of the modules that
        own such parameters.
    """
    model = unwrap(model)
    keep = trained_keys(model)
    return {k: v for k, v in model.state_dict().items() if k in keep}


def _listed(keys: list[str], limit: int = 8) -> str:
    more = f' and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more


@torch.no_grad()
def _load_exactly(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str
) -> None:
    missing = [k for k in own if k not in given and not may_lack(k)]
    unexpected = [k for k in given if k not in own]
    shapes = [
        f'{k} {tuple(given[k].shape)} instead of {tuple(v.shape)}'
        for k, v in own.items()
        if k in given and not fits_shape(k, given[k], v)
    ]
    problems = [
        f'{problem}: {_listed(keys)}.'
        for problem, keys in (
            ('missing', missing),
            ('unexpected', unexpected),
            ('of another shape', shapes),
        )
        if keys
    ]
    if problems:
        raise RuntimeError(
            f'The {what} does not fit this model; nothing was loaded. '
            f'Keys {" Keys ".join(problems)} Were targets, rank and type of '
            'the adapter the same when it was written?'
        )
    refuse_other_options(own, given)
    for key, tensor in own.items():
        if key in given:
            tensor.copy_(as_number(given[key], tensor))


def load_adapter_state_dict(
    model: nn.Module, state_dict: Mapping[str, Tensor]
) -> None:
    """Load what :func:`adapter_state_dict` returned.

    Args:
        model (nn.Module): A model with the same adapters. Merged layers are
            unmerged first.
        state_dict (Mapping[str, Tensor]): Exactly the adapters' tensors.

    Raises:
        RuntimeError: If a key is missing, unexpected or of another shape; it
            names them, and nothing is loaded.
    """
    model = unwrap(model)
    for _, adapter in named_adapters(model):
        adapter.unmerge()
    _load_exactly(adapter_state_dict(model), state_dict, 'adapter state dict')


def load_trainable_state_dict(
    model: nn.Module, state_dict: Mapping[str, Tensor]
) -> None:
    """Load what :func:`trainable_state_dict` returned.

    Args:
        model (nn.Module): A model with the same adapters and the same
            trainable parts.
        state_dict (Mapping[str, Tensor]): Exactly these tensors.

    Raises:
        RuntimeError: If a key is missing, unexpected or of another shape; it
            names them, and nothing is loaded.
    """
    model = unwrap(model)
    for _, adapter in named_adapters(model):
        adapter.unmerge()
    _load_exactly(
        trainable_state_dict(model), state_dict, 'trainable state dict'
    )


def _plain_keys(module: nn.Module, keys: set[str], prefix: str) -> list[str]:
    """Keys of the model before adapters that have no place any more."""
    plain = []
    for name, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, AdapterLayer | AdaptedQKV):
            plain.append(f'{prefix}{name}.weight')
        elif isinstance(layer, AdaptedMultiheadAttention):
            plain.append(f'{prefix}{name}.in_proj_weight')
    return [key for key in plain if key in keys]


def _orphans(
    module: nn.Module, keys: set[str], expected: set[str], prefix: str
) -> list[str]:
    """Adapter keys that have no place in the module."""
    marks = ('lora_B', *ADAPTER_MARKS)
    parts = (key.rpartition('.') for key in keys | expected)
    owners = {owner for owner, _, leaf in parts if leaf in marks}
    found = []
    for key in keys - expected:
        owner, _, leaf = key.rpartition('.')
        if leaf in ADAPTER_LEAVES and owner in owners:
            found.append(key)
    if found:
        own = {prefix + k for k, _ in module.named_parameters()}
        found = [key for key in found if key not in own]
    return sorted(found)


def check_adapter_keys(
    module: nn.Module, state_dict: Mapping[str, Tensor], prefix: str, *_: Any
) -> None:
    """Load-state-dict pre-hook: adapter keys fit, or nothing is loaded.

    Also with ``strict=False``, because a layer that silently keeps random
    weights is worse than a stop.

    - A file with the adapters' keys (and with or without the rest) loads.
    - A file of the model *before* adapters is refused: load it before
      injection, through the module's own ``pretrained`` or ``init_cfg``.

    Args:
        module (nn.Module): The model adapters were injected into.
        state_dict (Mapping[str, Tensor]): What is being loaded.
        prefix (str): Name of the module in the state dict, with its dot.

    Raises:
        RuntimeError: If an adapter key is missing or has no place.
    """
    keys = {key for key in state_dict if key.startswith(prefix)}
    own = adapter_state_dict(module)
    expected = {prefix + key for key in own}
    refuse_other_options({prefix + k: v for k, v in own.items()}, state_dict)
    missing = sorted(k for k in expected - keys if not may_lack(k))
    orphans = _orphans(module, keys, expected, prefix)
    plain = _plain_keys(module, keys, prefix)
    problems = []
    if missing:
        problems.append(f'Missing adapter keys: {_listed(missing)}.')
    if orphans:
        problems.append(f'Unexpected adapter keys: {_listed(orphans)}.')
    if plain:
        problems.append(
            'Keys of the model before adapters, which have no place now: '
            f'{_listed(plain)}. Load such weights before injection (the '
            "module's pretrained or init_cfg)."
        )
    if problems:
        raise RuntimeError(
            'The state dict does not fit the adapters of '
            f'"{prefix[:-1] or type(module).__name__}". {" ".join(problems)}'
        )
