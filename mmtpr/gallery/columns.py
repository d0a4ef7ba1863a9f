"""Columns that a user brings with the items of a gallery."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mmtpr.utils.lazy import require

#: Columns that every store has.
OWN = {'id': 'text', 'path': 'text'}
#: Kinds of values of a column, and their words in messages.
KINDS = {
    'bool': 'true or false',
    'int': 'whole numbers',
    'float': 'numbers',
    'text': 'texts',
    'time': 'times',
}


@cache
def arrow() -> Any:
    """Import pyarrow with its compute functions and Parquet.

    Returns:
        ModuleType: ``pyarrow``.

    Raises:
        ImportError: If it is not installed, naming the extra.
    """
    module = require('pyarrow', 'search', 'A gallery store')
    require('pyarrow.compute', 'search', 'A gallery store')
    require('pyarrow.parquet', 'search', 'A gallery store')
    return module


def arrow_type(kind: str) -> Any:
    """Name the type of Arrow that holds a kind of values.

    Args:
        kind (str): One of :data:`KINDS`.

    Returns:
        pyarrow.DataType: The type.
    """
    pa = arrow()
    return dict(
        bool=pa.bool_(),
        int=pa.int64(),
        float=pa.float64(),
        text=pa.string(),
        time=pa.timestamp('us'),
    )[kind]


def make_columns(
    columns: Mapping[str, Sequence], number: int, known: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Check columns and turn them into arrays.

    A value may be missing (None or NaN); no filter finds it by that column.

    Args:
        columns (Mapping[str, Sequence]): Values by name, N each.
        number (int): Items N.
        known (Mapping[str, str]): Kinds of the columns that there are.

    Returns:
        tuple[dict, dict]: Arrays by name, and the kinds of all columns, known
        ones included. Where all values of a new column are missing there is
        none yet.

    Raises:
        ValueError: If a column has another length, mixed values or values of
            another kind than before.
    """
    pa = arrow()
    kinds = dict(known)
    arrays = {}
    for name, values in columns.items():
        _check_name(name)
        if len(values) != number:
            raise ValueError(
                f'The column "{name}" has {len(values)} values for {number} '
                'items. Give None where a value is missing.'
            )
        array = _array(name, values)
        if pa.types.is_null(array.type):
            if name not in kinds:
                continue
            kind = kinds[name]
        else:
            kind = _kind(name, array.type)
        if (kinds.setdefault(name, kind), kind) == ('float', 'int'):
            kind = 'float'
        if kinds[name] != kind:
            raise ValueError(
                f'The column "{name}" holds {KINDS[kinds[name]]}; the new '
                f'items bring {KINDS[kind]}. Convert them, or name them '
                'otherwise.'
            )
        arrays[name] = array.cast(arrow_type(kind))
    return arrays, kinds


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name or '`' in name:
        raise ValueError(f'{name!r} is no name of a column.')
    if name in OWN:
        raise ValueError(
            f'The column "{name}" is the store\'s own: name yours otherwise.'
        )


def _array(name: str, values: Sequence) -> Any:
    pa = arrow()
    try:
        if hasattr(values, 'to_pylist'):  # of Arrow
            values = values.to_pylist()
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f'The values of the column "{name}" are of mixed or unknown '
            f'kinds ({str(error).splitlines()[0].rstrip(".")}). Give '
            f'{", ".join(KINDS.values())}, one kind in a column.'
        ) from error
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array


def _kind(name: str, found: Any) -> str:
    types = arrow().types
    if types.is_boolean(found):
        return 'bool'
    if types.is_integer(found):
        return 'int'
    if types.is_floating(found):
        return 'float'
    if types.is_string(found) or types.is_large_string(found):
        return 'text'
    if types.is_timestamp(found) or types.is_date(found):
        return 'time'
    raise ValueError(
        f'The column "{name}" holds values of the type {found}; a column '
        f'holds {", ".join(KINDS.values())}.'
    )
