"""Results of samples in columns, their tensors in few blocks, to be sent.

A tensor alone costs some 100 microseconds to pickle and to read again, however
small it is; a block of thousands of them costs hardly more than one.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmtpr.utils.collector import resting_collector

# Results that share blocks: one block is all that lies there twice.
_STEP = 1024
_PLAIN = 'plain'  # form of what is neither a tensor nor a dict


class Column(NamedTuple):
    """Values of one place in N results.

    Attributes:
        keys (tuple | None): Of dicts their keys, of others None.
        values (Any): Of tensors of one form a block, (N, ...); of dicts with
            the same keys a column a key, of others a list.
        size (int): N.
    """

    keys: tuple | None
    values: Any
    size: int


class Mixed(NamedTuple):
    """Values of one place in N results, of several forms.

    Attributes:
        parts (list[tuple[list[int], Column]]): Places of the values of each
            form, and these.
        size (int): N.
    """

    parts: list[tuple[list[int], Column]]
    size: int


def pack_results(results: list[dict]) -> list[Column | Mixed]:
    """Put the tensors of results into blocks.

    The list is emptied on the way, so that its tensors do not lie in memory a
    second time.

    Args:
        results (list[dict]): Plain values, tensors and dicts of them by name.

    Returns:
        list[Column | Mixed]: To be read by :func:`unpack_results`.
    """
    packed = []
    results.reverse()
    while results:
        some = results[: -_STEP - 1 : -1]
        del results[-_STEP:]
        packed.append(_pack(some))
    return packed


def unpack_results(packed: Iterable[Column | Mixed]) -> list[dict]:
    """Read what :func:`pack_results` gave.

    Args:
        packed (Iterable[Column | Mixed]): Packed results.

    Returns:
        list[dict]: The results; their tensors are views of the blocks.
    """
    with resting_collector():
        return [result for column in packed for result in _unpack(column)]


def _pack(values: Sequence[Any]) -> Column | Mixed:
    kinds = set(map(type, values))
    if not any(issubclass(kind, (Tensor, dict)) for kind in kinds):
        return Column(None, values, len(values))
    places: dict[Hashable, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(_form(value), []).append(place)
    if len(places) == 1:
        return _pack_alike(values)
    parts = [
        (some, _pack_alike([values[place] for place in some]))
        for some in places.values()
    ]
    return Mixed(parts, len(values))


def _form(value: Any) -> Hashable:
    """What values that share a column have in common."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device
    return tuple(value) if isinstance(value, dict) else _PLAIN


def _pack_alike(values: Sequence[Any]) -> Column:
    first, size = values[0], len(values)
    if isinstance(first, Tensor):
        return Column(None, torch.stack([*values]), size)
    if not isinstance(first, dict):
        return Column(None, values, size)
    columns = [_pack([value[key] for value in values]) for key in first]
    return Column(tuple(first), columns, size)


def _unpack(column: Column | Mixed) -> Sequence[Any]:
    if isinstance(column, Mixed):
        mixed: list[Any] = [None] * column.size
        for places, part in column.parts:
            for place, value in zip(places, _unpack(part), strict=True):
                mixed[place] = value
        return mixed
    if isinstance(column.values, Tensor):
        return column.values.unbind()
    if column.keys is None:
        return column.values
    if not column.keys:
        return [{} for _ in range(column.size)]
    rows = zip(*map(_unpack, column.values), strict=True)
    return [dict(zip(column.keys, row, strict=True)) for row in rows]
