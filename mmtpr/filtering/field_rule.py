"""A rule over any fields that judges scored, its terms joined by and."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_KEYS = ('field', 'min', 'max', 'keep', 'best')


@dataclass(frozen=True)
class FieldTerm:
    """A condition on one field.

    Attributes:
        field (str): The field, ``judge.name`` as a rule.
        min (float | None): Keep values from this one on.
        max (float | None): Keep values up to this one.
        keep (float | None): Keep this share of all items, the best.
        best (str): For ``keep``: ``'high'`` values or ``'low'`` ones are the
            best.
    """

    field: str
    min: float | None = None
    max: float | None = None
    keep: float | None = None
    best: str = 'high'

    def __post_init__(self) -> None:
        if not isinstance(self.field, str) or not self.field:
            raise ValueError(f'field must name one, got {self.field!r}.')
        limits = dict(min=self.min, max=self.max, keep=self.keep)
        for name, value in limits.items():
            number = isinstance(value, int | float | np.number)
            if value is None or (number and not isinstance(value, bool)):
                continue
            raise ValueError(
                f'{name} of "{self.field}" must be a number, got {value!r}.'
            )
        if all(value is None for value in limits.values()):
            raise ValueError(
                f'The term of "{self.field}" needs min, max or keep.'
            )
        if self.keep is not None and not 0 < self.keep <= 1:
            raise ValueError(
                f'keep of "{self.field}" must be above 0 and at most 1, got '
                f'{self.keep}.'
            )
        if self.best not in ('high', 'low'):
            raise ValueError(
                f'best of "{self.field}" must be "high" or "low", got '
                f'{self.best!r}.'
            )

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Find what the term keeps.

        Args:
            values (ndarray): Of N items, (N, ); NaN where a judge said
                nothing, which is never kept.

        Returns:
            ndarray: True for what is kept, (N, ).
        """
        keep = ~np.isnan(values)
        if self.min is not None:
            keep &= values >= self.min
        if self.max is not None:
            keep &= values <= self.max
        if self.keep is not None:
            count = max(1, int(len(values) * self.keep + 0.5))
            # NaN comes last in either direction.
            order = values if self.best == 'low' else -values
            best = np.zeros(len(values), dtype=bool)
            best[np.argsort(order, kind='stable')[:count]] = True
            keep &= best
        return keep

    def quality(self, values: np.ndarray) -> np.ndarray:
        """Turn values into places in which higher is better.

        Args:
            values (ndarray): Of N items, (N, ).

        Returns:
            ndarray: From 0 to 1, (N, ), float32; equal values are equal, and
            NaN is 0.
        """
        is_low = self.best == 'low' or (self.min is None and self.keep is None)
        good = -values if is_low else values
        known = ~np.isnan(good)
        out = np.zeros(len(values), np.float32)
        _, place = np.unique(good[known], return_inverse=True)
        out[known] = (place + 1) / max(1, place.max(initial=0) + 1)
        return out

    def settings(self) -> dict[str, Any]:
        """Tell all that decides what the term keeps.

        Returns:
            dict[str, Any]: Plain values, with every digit.
        """
        limits = dict(min=self.min, max=self.max, keep=self.keep)
        told: dict[str, Any] = dict(field=self.field)
        for name, value in limits.items():
            if value is not None:
                told[name] = float(value)
        return told | (dict(best=self.best) if 'keep' in told else {})

    def __str__(self) -> str:
        parts = []
        if self.min is not None:
            parts.append(f'>= {_number(self.min)}')
        if self.max is not None:
            parts.append(f'<= {_number(self.max)}')
        if self.keep is not None:
            share = round(100 * float(self.keep), 12)
            parts.append(f'best {_number(share)} % ({self.best})')
        return f'{self.field} {" and ".join(parts)}'


def _number(value: float) -> str:
    """Write a number with as many digits as tell it from all others."""
    short = f'{value:g}'
    return short if float(short) == value else repr(float(value))


def parse_rule(rule: Any) -> tuple[FieldTerm, ...]:
    """Read a rule of a config.

    Args:
        rule (Sequence[Mapping]): Terms, each a dict with ``field`` and any of
            ``min``, ``max``, ``keep``, ``best``.

    Returns:
        tuple[FieldTerm, ...]: The terms.

    Raises:
        ValueError: If it is none.

    Examples:
        >>> [str(t) for t in parse_rule([dict(field='vlm.same', min=3)])]
        ['vlm.same >= 3']
    """
    if isinstance(rule, Mapping):
        rule = [rule]
    if not isinstance(rule, Sequence) or isinstance(rule, str) or not rule:
        raise ValueError(
            'A rule is a list of terms such as dict(field="vlm.same", min=3), '
            f'got {rule!r}.'
        )
    terms = []
    for term in rule:
        if isinstance(term, FieldTerm):
            terms.append(term)
            continue
        if not isinstance(term, Mapping) or 'field' not in term:
            raise ValueError(f'A term of a rule names a field, got {term!r}.')
        unknown = sorted({*term} - {*_KEYS})
        if unknown:
            raise ValueError(
                f'The term of "{term["field"]}" has "{unknown[0]}"; known '
                f'are {", ".join(_KEYS)}.'
            )
        terms.append(FieldTerm(**term))
    return tuple(terms)


def check_fields(
    terms: Sequence[FieldTerm], present: Sequence[str], where: str
) -> None:
    """Check that a rule names fields that there are.

    Args:
        terms (Sequence[FieldTerm]): The rule.
        present (Sequence[str]): Fields that there are.
        where (str): What holds them, for the message.

    Raises:
        ValueError: If a field is not there.
    """
    for term in terms:
        if term.field not in present:
            known = ', '.join(sorted(present)) or 'none'
            raise ValueError(
                f'The rule names "{term.field}", which no judge wrote; '
                f'{where} has {known}.'
            )


def rule_mask(
    terms: Sequence[FieldTerm], columns: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Find what a rule keeps: what every term keeps.

    Args:
        terms (Sequence[FieldTerm]): The rule.
        columns (Mapping[str, ndarray]): Values by field, (N, ) each.

    Returns:
        ndarray: True for what is kept, (N, ).
    """
    masks = [term.mask(columns[term.field]) for term in terms]
    return np.logical_and.reduce(masks)
