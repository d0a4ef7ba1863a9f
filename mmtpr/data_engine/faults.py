"""Faults that generators make on purpose, at known rates."""

from collections.abc import Mapping, Sequence

import numpy as np

from mmtpr.utils.numbers import is_number


def check_rates(
    rates: Mapping[str, float], kinds: Sequence[str]
) -> dict[str, float]:
    """Check rates of a config.

    Args:
        rates (Mapping[str, float]): Share of each fault.
        kinds (Sequence[str]): Faults that there are.

    Returns:
        dict[str, float]: The rates, in the order of the kinds.

    Raises:
        ValueError: If one is unknown, no share, or all are more than 1.
    """
    for name, rate in rates.items():
        if name not in kinds:
            raise ValueError(
                f'There is no fault "{name}"; there are {", ".join(kinds)}.'
            )
        if not (is_number(rate) and 0 <= rate <= 1):
            raise ValueError(
                f'The rate of "{name}" must be from 0 to 1, got {rate!r}.'
            )
    if sum(rates.values()) > 1 + 1e-9:
        raise ValueError(f'The rates of faults sum to {sum(rates.values())}.')
    return {name: float(rates[name]) for name in kinds if name in rates}


def draw_fault(rates: Mapping[str, float], *keys: int) -> str:
    """Draw which fault is made.

    Args:
        rates (Mapping[str, float]): Of :func:`check_rates`.
        *keys (int): Seed and what else tells one draw from others.

    Returns:
        str: The fault, '' for none.
    """
    place = float(np.random.default_rng([*keys]).random())
    for name, rate in rates.items():
        if place < rate:
            return name
        place -= rate
    return ''
