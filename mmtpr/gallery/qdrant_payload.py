"""Points of Qdrant: their ids, payloads and vectors."""

import math
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from .qdrant_filter import read_time, write_time

#: Names of the vectors of a point.
POOLED, TOKENS = 'pooled', 'tokens'
_SPACE = uuid.UUID('6f0a4b52-8d0f-4b1b-9d4a-3c8a5b6f9c11')


def point_id(name: str) -> str:
    """Make the id of a point, which Qdrant wants as a UUID.

    Args:
        name (str): Id of an item.

    Returns:
        str: A UUID, always the same.
    """
    return str(uuid.uuid5(_SPACE, name))


def to_payload(value: Any, kind: str) -> Any:
    """Write a value of a column.

    Args:
        value (Any): As Arrow gives it.
        kind (str): Kind of the column.

    Returns:
        Any: As JSON holds it.

    Raises:
        ValueError: If it is an infinite number, which JSON does not hold.
    """
    if kind == 'float' and math.isinf(value):
        raise ValueError('Qdrant holds no infinite numbers: leave them out.')
    return write_time(value) if kind == 'time' else value


def from_payload(value: Any, kind: str) -> Any:
    """Read a value of a column.

    Args:
        value (Any): Of a payload, None where there is none.
        kind (str): Kind of the column.

    Returns:
        Any: As a store in a folder gives it.
    """
    if value is None:
        return None
    if kind == 'float':
        return float(value)
    return read_time(value) if kind == 'time' else value


def point_damage(
    point: Any,
    wanted: Mapping[str, tuple[int, ...]],
    kinds: Mapping[str, str],
) -> str:
    """Say what is wrong with a point.

    Args:
        point (qdrant_client.models.Record): With payload and vectors.
        wanted (Mapping[str, tuple[int, ...]]): Shapes of its vectors by name.
        kinds (Mapping[str, str]): Kinds of the columns by name.

    Returns:
        str: What, '' if nothing is.
    """
    payload, vectors = point.payload or {}, point.vector or {}
    name = payload.get('id')
    if not isinstance(name, str) or point_id(name) != str(point.id):
        return f'its item is {name!r}, which has another point'
    for kind, shape in wanted.items():
        found = np.array(vectors.get(kind, ()), np.float32)
        if found.shape != shape:
            return f'"{kind}" has the shape {found.shape}, not {shape}'
        if not np.isfinite(found).all():
            return f'"{kind}" is not finite'
    unknown = sorted(payload.keys() - {'id', 'path', *kinds})
    if unknown or 'path' not in payload:
        told = ', '.join(unknown) or 'no path'
        return f'its payload has {told}'
    return ''
