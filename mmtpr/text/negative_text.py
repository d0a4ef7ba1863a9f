"""Checking what a query says is not wanted."""

from typing import Any

from mmtpr.utils.numbers import is_number

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
    if weight is not None and not (is_number(weight) and weight > 0):
        raise ValueError(
            f'{where}: negative_weight must be a positive number, got '
            f'{weight!r}.'
        )
