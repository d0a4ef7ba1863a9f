"""What counts as a number where an argument or a file has to be one."""

import math
from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Tell a finite number from a text, a truth value, NaN and infinity.

    Args:
        value (Any): An argument, or a value of a file.

    Returns:
        bool: True for numbers of Python and of numpy.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def is_whole(value: Any) -> bool:
    """Tell an integer from all else, truth values included.

    Args:
        value (Any): An argument, or a value of a file.

    Returns:
        bool: True for integers of Python and of numpy.
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_whole(
    name: str, value: Any, least: int = 1, most: int | None = None
) -> None:
    """Check a number of a config, before anything is made of it.

    Args:
        name (str): What the config calls it.
        value (Any): Its value.
        least (int): Smallest one that is allowed. Defaults to 1.
        most (int, optional): Largest one. Defaults to None: any.

    Raises:
        ValueError: If it is another one, or no whole number.
    """
    if is_whole(value) and value >= least and (most is None or value <= most):
        return
    allowed = f'of at least {least}'
    if most is not None:
        allowed = f'from {least} to {most}'
    raise ValueError(
        f'{name} must be a whole number {allowed}, got {value!r}.'
    )
