"""Whole numbers of a config."""

from typing import Any


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
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and value >= least and (most is None or value <= most):
        return
    allowed = f'of at least {least}'
    if most is not None:
        allowed = f'from {least} to {most}'
    raise ValueError(
        f'{name} must be a whole number {allowed}, got {value!r}.'
    )
