"""Checkpoint files: the state dicts in them and what lies beside."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmtpr.utils.io import damaged, load_weights

#: Where the weights usually are, the first one found is taken.
_ENTRIES = ('state_dict', 'model')
_OTHER = 'another state dict; the one in "{}" was taken'
_BESIDE = 'an entry beside the weights: state or settings of the training'


@dataclass
class Checkpoint:
    """A checkpoint as it was found.

    Attributes:
        path (str): The file.
        state (dict[str, Tensor]): The weights of the model, and what else
            is among them, which no model and no key map takes.
        parts (dict[str, dict[str, Tensor]]): Further state dicts by the name
            of their entry, such as Word4Per's ``img2text``.
        beside (dict[str, str]): Other entries -> why they are left out.
    """

    path: str
    state: dict[str, Tensor]
    parts: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)


def read_checkpoint(path: str | os.PathLike, *parts: str) -> Checkpoint:
    """Read a file and find the weights in it.

    Known are bare state dicts, entries ``state_dict`` and ``model``,
    safetensors, and OpenAI's TorchScript archives. ``module.`` of DDP goes.

    Args:
        path (str | PathLike): The file.
        *parts (str): Names of further entries that hold weights.

    Returns:
        Checkpoint: The weights.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds no weights.
    """
    content = read_weight_file(path)
    entry = _entry_of(content, parts)
    if entry is None:
        found = list(content) if isinstance(content, Mapping) else content
        raise ValueError(
            f'"{path}" holds no state dict: neither the file itself nor one '
            f'of its entries {_ENTRIES} does (found: '
            f'{found if isinstance(found, list) else type(found).__name__}).'
        )
    state = content if entry == '' else content.get(entry, {})
    found = {
        name: unwrapped(content[name])
        for name in parts
        if isinstance(content.get(name), Mapping)
    }
    known = {entry, *found}
    beside = {
        key: _OTHER.format(entry or path) if _has_tensors(value) else _BESIDE
        for key, value in content.items()
        if key not in known and not (entry == '' and _is_tensor(value))
    }
    if entry == '':
        state = {k: v for k, v in content.items() if _is_tensor(v)}
    return Checkpoint(str(path), unwrapped(state), found, beside)


def unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict without DDP's ``module.``.

    Args:
        state (Mapping[str, Any]): The state dict.

    Returns:
        dict[str, Any]: The same values; one that is no tensor stays, and
        stops a key map.
    """
    state = {str(key): value for key, value in state.items()}
    if state and all(key.startswith('module.') for key in state):
        return {k.removeprefix('module.'): v for k, v in state.items()}
    return state


def read_weight_file(path: str | os.PathLike) -> Any:
    """Read a checkpoint, a safetensors file or a TorchScript archive.

    Args:
        path (str | PathLike): The file.

    Returns:
        Any: The content, usually a dict; of an archive, its state dict.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds more than tensors and plain
            values.
    """
    if is_torchscript(path):
        try:
            return torch.jit.load(path, 'cpu').state_dict()
        except RuntimeError as error:
            raise ValueError(damaged(path, error)) from error
    if not (str(path).endswith('.safetensors') and os.path.isfile(path)):
        return load_weights(path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(damaged(path, RuntimeError(error))) from error


def is_torchscript(path: str | os.PathLike) -> bool:
    """Whether a file is a TorchScript archive, as OpenAI publishes.

    Args:
        path (str | PathLike): The file.

    Returns:
        bool: True if it is one.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return any(name.endswith('/constants.pkl') for name in names)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(map(_is_tensor, value.values()))


def _entry_of(content: Any, parts: tuple[str, ...]) -> str | None:
    """Entry that holds the weights; '' for the file itself."""
    if not isinstance(content, Mapping):
        return None
    for name in _ENTRIES:
        if _has_tensors(content.get(name)):
            return name
    if _has_tensors(content):
        return ''
    # A file with parts only, such as a TINet by itself.
    return _ENTRIES[0] if any(name in content for name in parts) else None
