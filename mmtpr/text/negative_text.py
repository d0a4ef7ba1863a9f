"""Checking what a query says is not wanted."""

import math
from typing import Any

from .characters import is_blank


def check_negative(text: Any, weight: Any, where: str) -> None:
    """Check what a query says is not wanted.

    Args:
        text (Any): Its ``negative_text``, None if it has none.
        weight (Any): Its ``negative_weight``, likewise.
        where (str): The query, for the message.

    Raises:
        ValueError: If the text has no words, or the weight is not positive
            or has no text.
    """
    if text is None:
        if weight is not None:
            raise ValueError(
                f'{where} has a negative_weight without negative_text.'
            )
        return
    if not isinstance(text, str) or is_blank(text):
        raise ValueError(
            f'{where}: negative_text must be a sentence with words, got '
            f'{text!r}.'
        )
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if weight is not None and not (number and 0 < weight < math.inf):
        raise ValueError(
            f'{where}: negative_weight must be a positive number, got '
            f'{weight!r}.'
        )
