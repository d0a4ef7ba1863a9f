"""Names that have changed, and until when the former ones work."""

import warnings


def renamed_argument(
    owner: str, former: str, name: str, removed_in: str = '1.0'
) -> None:
    """Warn that an argument goes by another name.

    Args:
        owner (str): Class or function that takes it.
        former (str): Its former name.
        name (str): Its name.
        removed_in (str): Version from which the former name is an error.
            Defaults to ``'1.0'``.
    """
    warnings.warn(
        f'{owner}: the argument "{former}" is now named "{name}"; the former '
        f'name works until version {removed_in}.',
        FutureWarning,
        stacklevel=3,
    )
