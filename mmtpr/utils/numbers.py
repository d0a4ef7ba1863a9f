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
