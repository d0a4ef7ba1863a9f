"""Queries: a sentence, or a reference image with a sentence."""

import os
from collections.abc import Sequence

from torch import Tensor

#: A sentence, or ``dict(img_path='photo.jpg', caption='now in red')``.
Query = str | dict
_KEYS = {'img_path', 'caption'}
_FORM = "dict(img_path='photo.jpg', caption='the same man, now in red')"


def list_queries(inputs: Query | Sequence[Query], composed: bool) -> list:
    """Make a list of queries and check each.

    A sentence is never a path, even if a folder has that name.

    Args:
        inputs (str | dict | Sequence): One query or several.
        composed (bool): Whether the model takes an image with a sentence,
            or sentences alone.

    Returns:
        list[str | dict]: The queries, paths as strings.

    Raises:
        ValueError: If one is not of the model's form, or has no words.
    """
    queries = [inputs] if isinstance(inputs, str | dict) else list(inputs)
    return [_checked(query, composed) for query in queries]


def _checked(query: Query, composed: bool) -> Query:
    if isinstance(query, dict) != composed:
        takes = (
            f'a reference image with a sentence, {_FORM}'
            if composed
            else 'sentences alone'
        )
        raise ValueError(f'The model takes {takes}; got {query!r}.')
    caption = query
    if isinstance(query, dict):
        if set(query) != _KEYS or not query['img_path']:
            raise ValueError(f'A query is {_FORM}, got {query!r}.')
        caption = query['caption']
        query = dict(query, img_path=os.fspath(query['img_path']))
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f'A query is a sentence with words, got {caption!r}.')
    return query


def sample_of(query: Query) -> dict:
    """Make what a pipeline takes.

    Args:
        query (str | dict): A checked query.

    Returns:
        dict: The sample.
    """
    parts = dict(caption=query) if isinstance(query, str) else query
    return dict(role='query', pid=-1, image_id=-1, **parts)


def hide_references(
    scores: Tensor, references: Sequence[str | None], paths: Sequence[str]
) -> None:
    """Give the gallery item that is the query's own image no score.

    Args:
        scores (Tensor): Of shape (Q, N), changed in place: -inf.
        references (Sequence[str | None]): Image of each query.
        paths (Sequence[str]): Images of the gallery.
    """
    places: dict[str, list[int]] = {}
    for place, path in enumerate(paths):
        places.setdefault(os.path.realpath(path), []).append(place)
    for row, reference in enumerate(references):
        if reference is not None:
            own = places.get(os.path.realpath(reference), [])
            scores[row, own] = float('-inf')
