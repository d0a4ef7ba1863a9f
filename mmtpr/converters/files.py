"""Checkpoint files: the state dicts in them and what lies beside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from torch import Tensor

from mmtpr.utils.weight_files import read_weight_file

#: Where the weights usually are, the first one found is taken.
_ENTRIES = ('state_dict', 'model')
_BESIDE = 'an entry beside the weights: state or settings of the training'


@dataclass
class Checkpoint:
    """A checkpoint as it was found.

    Attributes:
        path (str): The file.
        state (dict[str, Tensor]): The weights of the model.
        parts (dict[str, dict[str, Tensor]]): Further state dicts by the name
            of their entry, such as Word4Per's ``img2text``.
        beside (dict[str, str]): Other entries -> why they are left out.
    """

    path: str
    state: dict[str, Tensor]
    parts: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)


def read_checkpoint(path: str | PathLike, *parts: str) -> Checkpoint:
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
        name: tensors_of(content[name])
        for name in parts
        if isinstance(content.get(name), Mapping)
    }
    known = {entry, *found}
    beside = {
        key: _BESIDE
        for key, value in content.items()
        if key not in known and not (entry == '' and _is_tensor(value))
    }
    return Checkpoint(str(path), tensors_of(state), found, beside)


def tensors_of(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, without DDP's ``module.``.

    Args:
        state (Mapping[str, Any]): The state dict.

    Returns:
        dict[str, Tensor]: Its tensors.
    """
    tensors = {k: v for k, v in state.items() if _is_tensor(v)}
    if tensors and all(key.startswith('module.') for key in tensors):
        return {k.removeprefix('module.'): v for k, v in tensors.items()}
    return tensors


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _entry_of(content: Any, parts: tuple[str, ...]) -> str | None:
    """Entry that holds the weights; '' for the file itself."""
    if not isinstance(content, Mapping):
        return None
    for name in _ENTRIES:
        entry = content.get(name)
        if isinstance(entry, Mapping) and any(map(_is_tensor, entry.values())):
            return name
    if any(map(_is_tensor, content.values())):
        return ''
    # A file with parts only, such as a TINet by itself.
    return _ENTRIES[0] if any(name in content for name in parts) else None
