"""What a query says is not wanted."""

from typing import Any

#: Weight of a negative that says none.
NEGATIVE_WEIGHT = 0.5


def negative_of(query: Any) -> dict[str, Any]:
    """Take what is not wanted from a query.

    Args:
        query (Any): A dict, or a sample, with a ``get`` of this kind.

    Returns:
        dict: ``negative_text`` and ``negative_weight``; empty without them.
    """
    text = query.get('negative_text')
    if not text:
        return {}
    weight = query.get('negative_weight')
    # A plain number, whatever kind was given: it goes into files.
    weight = NEGATIVE_WEIGHT if weight is None else float(weight)
    return dict(negative_text=text, negative_weight=weight)


def words_of(query: Any) -> str:
    """Say a query in words, with what is not wanted, for people.

    Args:
        query (Any): As of :func:`negative_of`, and with ``caption``.

    Returns:
        str: The words; '' if it has none.
    """
    caption = query.get('caption') or ''
    negative = negative_of(query)
    if not negative:
        return caption
    return '{} [not: {negative_text}, times {negative_weight:g}]'.format(
        caption, **negative
    ).lstrip()
