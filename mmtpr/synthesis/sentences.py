"""Putting sentences together."""

from collections.abc import Sequence


def join_parts(parts: Sequence[str]) -> str:
    """List parts as English does: ``'a, b and c'``.

    Args:
        parts (Sequence[str]): The parts.

    Returns:
        str: The list, empty if there are none.
    """
    if len(parts) < 2:
        return ''.join(parts)
    return f'{", ".join(parts[:-1])} and {parts[-1]}'


def finish_sentence(text: str) -> str:
    """Write the first letter large and set a full stop.

    Args:
        text (str): At least one letter.

    Returns:
        str: The sentence.
    """
    return f'{text[0].upper()}{text[1:]}.'
