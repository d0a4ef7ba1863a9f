"""Captions without content, and characters that nobody sees."""

import unicodedata
from typing import Any


def is_nothing(value: Any) -> bool:
    """Check for what files have in the place of a missing caption.

    Args:
        value (Any): What a file holds.

    Returns:
        bool: True for null and NaN.
    """
    return value is None or (isinstance(value, float) and value != value)


def is_empty_caption(value: Any) -> bool:
    """Check whether there is no caption, or one without visible character.

    Args:
        value (Any): A caption, null or NaN.

    Returns:
        bool: True for what says nothing.
    """
    return is_nothing(value) or is_blank(value)


def is_blank(caption: str) -> bool:
    """Check whether a caption has no visible character.

    Args:
        caption (str): The caption.

    Returns:
        bool: True for an empty string, white space, control characters,
        fillers and marks without a letter.
    """
    return all(c.isspace() or _is_control(c) or _is_unseen(c) for c in caption)


def has_control_characters(caption: str) -> bool:
    """Check for control, format or unassigned characters.

    Args:
        caption (str): The caption.

    Returns:
        bool: True also for tabs and line ends.
    """
    return not caption.isprintable() and any(map(_is_control, caption))


def replace_control_characters(caption: str) -> str:
    """Put a space in the place of each control character.

    Args:
        caption (str): The caption.

    Returns:
        str: A caption of the same length.
    """
    if not has_control_characters(caption):
        return caption
    return ''.join(' ' if _is_control(c) else c for c in caption)


def _is_control(character: str) -> bool:
    return unicodedata.category(character)[0] == 'C'


def _is_unseen(character: str) -> bool:
    """Fillers of Hangul, the blank of Braille, and marks on nothing."""
    fillers = '\u115f\u1160\u3164\uffa0\u2800'
    return character in fillers or unicodedata.category(character) == 'Mn'
