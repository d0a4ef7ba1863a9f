"""Checkpoint files: the state dicts in them and what lies beside."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmtpr.utils.errors import LaunchError

from .files import read_weight_file

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
        meta (dict): What mmtpr and mmengine write beside the weights.
    """

    path: str
    state: dict[str, Tensor]
    parts: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


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
    content, entry = _read_entry(path, parts)
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
    meta = content.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    return Checkpoint(str(path), unwrapped(state), found, beside, meta)


def read_named(path: str) -> Checkpoint:
    """Read a checkpoint of a command line.

    Args:
        path (str): The file.

    Returns:
        Checkpoint: Its content.

    Raises:
        LaunchError: If it is absent, damaged or no checkpoint.
    """
    try:
        return read_checkpoint(path)
    except (ValueError, FileNotFoundError) as error:
        raise LaunchError(str(error)) from error


def read_for_runner(
    path: str | os.PathLike, map_location: str = 'cpu'
) -> dict[str, Any]:
    """Read a checkpoint in the form that mmengine's runner takes.

    Args:
        path (str | PathLike): The file.
        map_location (str): Where tensors go. Defaults to ``'cpu'``.

    Returns:
        dict: The whole content, with the weights under ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds no weights.
    """
    content, entry = _read_entry(path, (), map_location)
    if entry == '':
        content = {'state_dict': content}
    elif entry != 'state_dict':
        content = {**content, 'state_dict': content[entry]}
    content['state_dict'] = unwrapped(content['state_dict'])
    return content


def _read_entry(
    path: str | os.PathLike, parts: tuple[str, ...], map_location: str = 'cpu'
) -> tuple[Any, str]:
    """Content of a file, and the entry that holds the weights."""
    content = read_weight_file(path, map_location)
    entry = _entry_of(content, parts)
    if entry is None:
        raise ValueError(_no_weights(path, content))
    return content, entry


def _no_weights(path: str | os.PathLike, content: Any) -> str:
    found = type(content).__name__
    if isinstance(content, Mapping):
        found = ', '.join(map(str, [*content][:6])) or 'nothing'
    return (
        f'"{path}" holds no state dict: neither the file itself nor one of '
        f'its entries {", ".join(_ENTRIES)} does (found: {found}).'
    )


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
