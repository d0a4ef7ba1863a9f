"""Filters on columns in the words of Qdrant."""

from datetime import datetime, timezone
from functools import cache
from typing import Any

from mmtpr.utils.lazy import require

from .where_clause import (
    Comparison,
    Condition,
    Junction,
    Membership,
    Negation,
    WhereError,
)

#: What a comparison is where it does not hold.
_OPPOSITE = {'==': '!=', '!=': '==', '<': '>=', '>=': '<', '>': '<='}
_OPPOSITE['<='] = '>'
_BOUNDS = {'<': 'lt', '<=': 'lte', '>': 'gt', '>=': 'gte'}


@cache
def qdrant() -> Any:
    """Import the client of Qdrant.

    Returns:
        ModuleType: ``qdrant_client``.

    Raises:
        ImportError: If it is not installed, naming the extra.
    """
    return require('qdrant_client', 'qdrant', 'A store in Qdrant')


def to_filter(where: Condition) -> Any:
    """Write a filter for Qdrant.

    A missing value is found by no comparison, nor by its ``not``, as in
    :func:`mmtpr.gallery.column_filter.matching`.

    Args:
        where (Condition): Result of ``bind_where``.

    Returns:
        qdrant_client.models.Filter: The filter.

    Raises:
        WhereError: If texts are compared by order, which Qdrant cannot.
    """
    return _filter(where, holds=True)


def write_time(value: datetime) -> str:
    """Write a time as payloads hold it.

    Args:
        value (datetime): In UTC, without a zone.

    Returns:
        str: By RFC 3339, with microseconds.
    """
    zoned = value.replace(tzinfo=timezone.utc)
    return zoned.isoformat(timespec='microseconds').replace('+00:00', 'Z')


def read_time(value: str) -> datetime:
    """Read a time of a payload.

    Args:
        value (str): Result of :func:`write_time`.

    Returns:
        datetime: In UTC, without a zone.
    """
    # Python 3.10 knows no Z.
    zoned = datetime.fromisoformat(value.replace('Z', '+00:00'))
    return zoned.astimezone(timezone.utc).replace(tzinfo=None)


def _filter(where: Condition, holds: bool) -> Any:
    """What a condition lets through, or, if not ``holds``, its ``not``.

    A ``not`` goes down to the comparisons, whose opposites are found in
    values that are there only.
    """
    models = qdrant().models
    if isinstance(where, Negation):
        return _filter(where.part, not holds)
    if isinstance(where, Junction):
        parts = [_filter(part, holds) for part in where.parts]
        if (where.word == 'and') == holds:
            return models.Filter(must=parts)
        return models.Filter(should=parts)
    if isinstance(where, Membership):
        equal = [_equal(where.column, value) for value in where.values]
        found = models.Filter(should=equal)
        return found if holds else _present_but(where.column, found)
    operator = where.operator if holds else _OPPOSITE[where.operator]
    if operator in ('==', '!='):
        equal = _equal(where.column, where.value)
        if operator == '!=':
            return _present_but(where.column, equal)
        return models.Filter(must=[equal])
    return models.Filter(must=[_ordered(where, operator)])


def _present_but(column: str, condition: Any) -> Any:
    """Items that have a value, but not for this condition."""
    models = qdrant().models
    field = models.PayloadField(key=column)
    absent = models.IsEmptyCondition(is_empty=field)
    return models.Filter(must_not=[absent, condition])


def _equal(column: str, value: Any) -> Any:
    models = qdrant().models
    if isinstance(value, float | datetime):
        return _range(column, gte=value, lte=value)
    match = models.MatchValue(value=value)
    condition = models.FieldCondition(key=column, match=match)
    if isinstance(value, bool) or not isinstance(value, int):
        return condition
    # A whole number in a column of numbers may be kept as a float.
    either = [condition]
    if abs(value) <= 2**53:
        either.append(_range(column, gte=float(value), lte=float(value)))
    return models.Filter(should=either)


def _ordered(where: Comparison, operator: str) -> Any:
    if isinstance(where.value, str):
        raise WhereError(
            f'Qdrant compares texts by == , != and in only: "{where.column}" '
            f'{where.operator} {where.value!r} needs a store in a folder.'
        )
    return _range(where.column, **{_BOUNDS[operator]: where.value})


def _range(column: str, **bounds: Any) -> Any:
    models = qdrant().models
    if any(isinstance(value, datetime) for value in bounds.values()):
        written = {k: write_time(value) for k, value in bounds.items()}
        limits: Any = models.DatetimeRange(**written)
    else:
        limits = models.Range(**{k: float(v) for k, v in bounds.items()})
    return models.FieldCondition(key=column, range=limits)
