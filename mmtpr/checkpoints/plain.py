"""Python containers reduced to what ``torch.load`` accepts as safe."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

_LEAVES = (
    str,
    bytes,
    bool,
    int,
    float,
    complex,
    type(None),
    torch.Tensor,
    torch.device,
    torch.dtype,
    torch.Size,
)


def to_plain(value: Any) -> Any:
    """Copy a nested value with plain Python types and tensors only.

    numpy scalars become Python numbers, arrays nested lists, paths strings,
    mappings dicts (an ``OrderedDict`` stays one) and named tuples tuples.
    Tensors are passed through, not copied.

    Args:
        value (Any): The value.

    Returns:
        Any: The same content, loadable with ``weights_only=True``.

    Raises:
        TypeError: If something in it has no plain form. The message names
            the place and the type.
    """
    return _plain(value, '')


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        return _plain(value.item(), where)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), where)
    if isinstance(value, _LEAVES):
        return _plain_leaf(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        items = (
            (_plain(key, where), _plain(item, f'{where}[{key!r}]'))
            for key, item in value.items()
        )
        return OrderedDict(items) if _is_ordered(value) else dict(items)
    if isinstance(value, (list, tuple)):
        items = (_plain(v, f'{where}[{i}]') for i, v in enumerate(value))
        return tuple(items) if isinstance(value, tuple) else list(items)
    if isinstance(value, (set, frozenset)):
        return {_plain(item, where) for item in value}
    place = f' in {where}' if where else ''
    raise TypeError(f'{type(value).__qualname__}{place}')


def _plain_leaf(value: Any) -> Any:
    """Strip subclasses of the builtin types (an ``IntEnum``, say)."""
    kinds: tuple[Any, ...] = (str, bytes, bool, int, float, complex)
    for kind in kinds:
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    return value


def _is_ordered(value: Mapping) -> bool:
    return type(value) is OrderedDict
