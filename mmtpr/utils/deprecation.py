"""Names that have changed, and until when the former ones work."""

import warnings
from typing import TypeVar

T = TypeVar('T')


def renamed_argument(
    owner: str,
    former: str,
    name: str,
    given: T | None,
    value: T,
    removed_in: str = '1.0',
) -> T:
    """Take an argument by its former name, with a warning.

    Args:
        owner (str): Class or function that takes it.
        former (str): Its former name.
        name (str): Its name.
        given (T | None): What was given by the former name, if anything.
        value (T): What was given by its name, or its default.
        removed_in (str): Version from which the former name is an error.
            Defaults to ``'1.0'``.

    Returns:
        T: The argument.
    """
    if given is None:
        return value
    warnings.warn(
        f'{owner}: the argument "{former}" is now named "{name}"; the former '
        f'name works until version {removed_in}.',
        FutureWarning,
        stacklevel=3,
    )
    return given
