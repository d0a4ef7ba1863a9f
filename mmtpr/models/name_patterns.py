"""Regular expressions over the names of layers and parameters."""

import difflib
import re
from collections.abc import Sequence


def compile_patterns(patterns: Sequence[str], what: str) -> list[re.Pattern]:
    """Compile regular expressions.

    Args:
        patterns (Sequence[str]): The expressions.
        what (str): What they are, for the message.

    Returns:
        list[re.Pattern]: The compiled expressions.

    Raises:
        TypeError: If ``patterns`` is a single string.
        ValueError: If an expression is not valid.
    """
    if isinstance(patterns, str):
        raise TypeError(f'{what} must be a list of patterns, got a string.')
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(
                f'{what}: {pattern!r} is not a regular expression: {error}.'
            ) from error
    return compiled


def covers(pattern: re.Pattern, name: str) -> bool:
    """Tell whether a pattern names a parameter or a module around it.

    Args:
        pattern (re.Pattern): Must match a whole name.
        name (str): Name of a parameter or module, ``'a.b.c'``.

    Returns:
        bool: True if it matches ``'a'``, ``'a.b'`` or ``'a.b.c'``.
    """
    parts = name.split('.')
    return any(
        pattern.fullmatch('.'.join(parts[:end]))
        for end in range(1, len(parts) + 1)
    )


def near_names(pattern: str, names: Sequence[str], limit: int = 5) -> str:
    """List names like a pattern, for an error message.

    Args:
        pattern (str): A pattern that matched nothing.
        names (Sequence[str]): What it could have matched.
        limit (int): How many to list. Defaults to 5.

    Returns:
        str: E.g. ``'Near names: a.b, a.c.'``.
    """
    if not names:
        return 'The model offers no names at all.'
    plain = re.sub(r'[\\^$*+?()\[\]|]', '', pattern)
    near = difflib.get_close_matches(plain, names, limit, cutoff=0.0)
    hint = ''
    if any(name.endswith(plain) for name in names):
        near = [n for n in names if n.endswith(plain)][:limit]
        hint = f' A pattern must match the whole name: try {".*" + pattern!r}.'
    return f'Near names: {", ".join(near)}.{hint}'
