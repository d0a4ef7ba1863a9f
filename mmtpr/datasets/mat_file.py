"""Reading MATLAB files of version 5 to 7: numbers, text and cells.

The layout is the "MAT-File Format" of MathWorks. scipy reads more of it; this
is what annotations of pedestrians need, without another dependency.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

_NUMBERS = {
    1: 'i1',
    2: 'u1',
    3: 'i2',
    4: 'u2',
    5: 'i4',
    6: 'u4',
    7: 'f4',
    9: 'f8',
    12: 'i8',
    13: 'u8',
}
_TEXTS = {2: 'latin-1', 4: 'utf-16', 16: 'utf-8', 17: 'utf-16', 18: 'utf-32'}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR, _FIRST_NUMBER, _LAST_NUMBER = 1, 4, 6, 15
_COMPLEX = 0x0800


def read_mat(path: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Read some variables of a MATLAB file.

    Args:
        path (str): A file saved as version 5, 6 or 7.
        names (tuple[str, ...]): Variables to read.

    Returns:
        dict[str, Any]: Arrays of numbers as ndarray, rows of characters as
        str, cells as a flat list in MATLAB's (column-wise) order. Variables
        that the file lacks are absent.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, is damaged, or a wanted variable
            is of another kind.
    """
    with open(path, 'rb') as file:
        data = file.read()
    order = {b'IM': '<', b'MI': '>'}.get(data[126:128])
    if order is None or data[:10] == b'MATLAB 7.3':
        found = 'one of version 7.3' if order else 'something else'
        raise ValueError(
            f'"{path}" is no MATLAB file of version 5 to 7 but {found}. '
            'Download it again, or save it in MATLAB with -v7.'
        )
    try:
        return dict(_variables(memoryview(data)[128:], order, names))
    except (struct.error, zlib.error, IndexError, UnicodeError) as error:
        raise ValueError(
            f'The MATLAB file "{path}" is damaged ({error}). Download it '
            'again.'
        ) from error
    except _UnreadError as error:
        raise ValueError(f'The MATLAB file "{path}": {error}.') from error


class _UnreadError(Exception):
    """A kind of variable that is not read here."""


def _variables(
    data: memoryview, order: str, names: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    for kind, body in _elements(data, order):
        if kind == _COMPRESSED:
            whole = memoryview(zlib.decompress(body))
            kind, body = next(_elements(whole, order))
        if kind == _MATRIX:
            parts = _elements(body, order)
            head = _head(parts, order)
            if head[2] in names:
                yield head[2], _value(parts, order, *head)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, Any]]:
    """Split bytes into elements: type and content."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(f'{order}II', data, place)
        start = place + 8
        if kind >> 16:  # a small element: both in one word
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if start + size > len(data):
            raise IndexError('it ends within a variable')
        yield kind, data[start : start + size]
        end = start + size
        place = end if kind == _COMPRESSED else (end + 7) // 8 * 8


def _head(parts: Iterator, order: str) -> tuple[int, tuple[int, ...], str]:
    """Flags and class, dimensions and name of an array."""
    parts = [next(parts, None) for _ in range(3)]
    if None in parts:
        raise IndexError('an array has no head')
    flags = struct.unpack_from(f'{order}I', parts[0][1])[0]
    dims = np.frombuffer(parts[1][1], f'{order}i4')
    name = bytes(parts[2][1]).decode('latin-1')
    return flags, tuple(dims.tolist()), name


def _value(
    parts: Iterator, order: str, flags: int, dims: tuple[int, ...], name: str
) -> Any:
    kind = flags & 0xFF
    if kind == _CELL:
        return [_cell(body, order) for _, body in parts][: math.prod(dims)]
    known = kind == _CHAR or _FIRST_NUMBER <= kind <= _LAST_NUMBER
    if not known or flags & _COMPLEX:
        raise _UnreadError(f'the variable "{name}" is of a kind not read here')
    stored, body = next(parts, (1, b''))
    if kind == _CHAR:
        return _text(stored, body, order)
    if stored not in _NUMBERS:
        raise IndexError(f'the variable "{name}" has no numbers')
    values = np.frombuffer(body, order + _NUMBERS[stored])
    if values.size != math.prod(dims):
        raise IndexError(f'the variable "{name}" has another size')
    return values.reshape(dims, order='F')


def _cell(body: memoryview, order: str) -> Any:
    parts = _elements(body, order)
    return _value(parts, order, *_head(parts, order))


def _text(stored: int, body: memoryview, order: str) -> str:
    """Characters of one row."""
    if stored not in _TEXTS:
        raise IndexError('characters are stored in an unknown way')
    coding = _TEXTS[stored]
    if coding in ('utf-16', 'utf-32'):
        coding += '-le' if order == '<' else '-be'
    return bytes(body).decode(coding)
