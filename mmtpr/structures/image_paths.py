"""Paths of the images of a sample: none, one or several."""

from typing import Any


def image_paths(value: Any) -> list[str]:
    """List the images of a sample.

    Args:
        value (str | Sequence[str] | None): Its ``img_path``: of a composed
            query with several reference images a list.

    Returns:
        list[str]: The paths, in their order.
    """
    if not value:
        return []
    if isinstance(value, list | tuple):
        return [str(path) for path in value]
    return [str(value)]
