"""Many keys in a few words."""

from collections.abc import Collection


def grouped_names(
    names: Collection[str], others: Collection[str], limit: int = 12
) -> str:
    """Write names so that all of them fit into a message.

    Args:
        names (Collection[str]): The names.
        others (Collection[str]): Names that no group may cover.
        limit (int): Groups that are written out. Defaults to 12.

    Returns:
        str: Such as ``'query.tinets.2.* (6), logit_scale'``.
    """
    covered = {start for name in others for start in _starts(name)}
    groups: dict[str, list[str]] = {}
    for name in names:
        free = (s for s in _starts(name) if s not in covered)
        groups.setdefault(next(free, name), []).append(name)
    texts = [
        f'{start}.* ({len(found)})' if len(found) > 1 else found[0]
        for start, found in groups.items()
    ]
    more = len(texts) - limit
    return ', '.join(texts[:limit]) + (f' and {more} more' * (more > 0))


def _starts(name: str) -> list[str]:
    """``a.b.c`` -> ``a``, ``a.b``."""
    parts = name.split('.')
    return ['.'.join(parts[:i]) for i in range(1, len(parts))]
