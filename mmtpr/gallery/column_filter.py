"""Items that a filter lets through."""

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import reduce
from typing import Any

import numpy as np

from .columns import KINDS, OWN, arrow
from .where_clause import (
    Comparison,
    Condition,
    Junction,
    Literal,
    Membership,
    Negation,
    WhereError,
)

_FUNCTIONS = {
    '==': 'equal',
    '!=': 'not_equal',
    '<': 'less',
    '<=': 'less_equal',
    '>': 'greater',
    '>=': 'greater_equal',
}


def bind_where(where: Condition, kinds: Mapping[str, str]) -> Condition:
    """Check a filter against the columns of a store.

    Args:
        where (Condition): The filter.
        kinds (Mapping[str, str]): Kinds of the columns by name.

    Returns:
        Condition: The filter; values compared with times are times.

    Raises:
        WhereError: If there is no such column, or it holds another kind.
    """
    if isinstance(where, Negation):
        return Negation(bind_where(where.part, kinds))
    if isinstance(where, Junction):
        parts = tuple(bind_where(part, kinds) for part in where.parts)
        return Junction(where.word, parts)
    kinds = {**OWN, **kinds}
    column = where.column
    if column not in kinds:
        raise WhereError(
            f'There is no column "{column}"; there are '
            f'{", ".join(sorted(kinds))}.'
        )
    kind = kinds[column]
    if isinstance(where, Membership):
        values = tuple(_bound(column, kind, v) for v in where.values)
        return Membership(column, values)
    if kind == 'bool' and where.operator not in ('==', '!='):
        raise WhereError(
            f'The column "{column}" holds true or false: compare it by == '
            f'or !=, not {where.operator}.'
        )
    return Comparison(
        column, where.operator, _bound(column, kind, where.value)
    )


def columns_of(where: Condition) -> set[str]:
    """Name the columns that a filter reads.

    Args:
        where (Condition): The filter.

    Returns:
        set[str]: Their names.
    """
    if isinstance(where, Negation):
        return columns_of(where.part)
    if isinstance(where, Junction):
        return set().union(*map(columns_of, where.parts))
    return {where.column}


def matching(where: Condition, read: Callable[[str], Any]) -> np.ndarray:
    """Find the items that a filter lets through.

    A missing value is neither equal nor unequal to anything: neither a
    comparison nor its ``not`` finds it.

    Args:
        where (Condition): The filter, of :func:`bind_where`.
        read (Callable[[str], pyarrow.Array]): Gives a column by its name, of
            the N items.

    Returns:
        ndarray: True where it does, (N, ).
    """
    compute = arrow().compute
    mask = compute.fill_null(_mask(where, read), False)
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)


def _mask(where: Condition, read: Callable[[str], Any]) -> Any:
    compute = arrow().compute
    if isinstance(where, Negation):
        return compute.invert(_mask(where.part, read))
    if isinstance(where, Junction):
        join = getattr(compute, f'{where.word}_kleene')
        return reduce(join, (_mask(part, read) for part in where.parts))
    column = read(where.column)
    if isinstance(where, Comparison):
        return _compare(column, where.operator, where.value)
    parts = (_compare(column, '==', value) for value in where.values)
    return reduce(compute.or_kleene, parts)


def _compare(column: Any, operator: str, value: Any) -> Any:
    return getattr(arrow().compute, _FUNCTIONS[operator])(column, value)


def _bound(column: str, kind: str, value: Literal) -> Any:
    """A value as the column holds it."""
    if kind == 'time' and isinstance(value, str):
        return _time(column, value)
    allowed: Any = dict(
        bool=bool, int=(int, float), float=(int, float), text=str, time=()
    )[kind]
    wrong_bool = isinstance(value, bool) and kind != 'bool'
    if not isinstance(value, allowed) or wrong_bool:
        told = repr(value).lower() if isinstance(value, bool) else repr(value)
        raise WhereError(
            f'The column "{column}" holds {KINDS[kind]} and cannot be '
            f'compared with {told}.'
        )
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def _time(column: str, value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            return found
        # Stored times are of no zone: those of one are in UTC.
        return found.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError):  # a zone may lead out of the years
        raise WhereError(
            f'The column "{column}" holds times, and {value!r} is none: write '
            "'2024-05-01' or '2024-05-01 13:30:00'."
        ) from None
