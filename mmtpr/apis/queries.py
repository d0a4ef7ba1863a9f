"""Queries: a sentence, or a reference image with a sentence."""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmtpr.structures.image_paths import image_paths
from mmtpr.structures.negatives import negative_of
from mmtpr.text.characters import is_blank
from mmtpr.text.negative_text import check_negative

#: A sentence, or ``dict(img_path='photo.jpg', caption='now in red')``.
Query = str | dict
_NEGATIVE = {'negative_text', 'negative_weight'}
#: Endings that a sentence does not have.
_FILE = re.compile(r'\.(jpe?g|png|bmp|webp|tiff?|gif|txt|json|csv)$', re.I)
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
    if isinstance(inputs, str | dict):
        inputs = [inputs]
    elif isinstance(inputs, bytes) or not isinstance(inputs, Iterable):
        raise ValueError(
            f'Queries are a sentence, {_FORM}, or a list of them; got '
            f'{inputs!r}.'
        )
    return [_checked(query, composed) for query in inputs]


def _checked(query: Query, composed: bool) -> Query:
    has_image = isinstance(query, dict) and (
        'img_path' in query or not _NEGATIVE & query.keys()
    )
    if has_image != composed:
        takes = (
            f'a reference image with a sentence, {_FORM}'
            if composed
            else 'sentences alone'
        )
        raise ValueError(f'The model takes {takes}; got {query!r}.')
    caption = query
    if isinstance(query, dict):
        keys = {'caption', 'img_path'} if composed else {'caption'}
        if query.keys() - _NEGATIVE != keys or not query.get('img_path', 1):
            raise ValueError(f'A query is {_FORM}, got {query!r}.')
        caption = query['caption']
        text, weight = (query.get(name) for name in sorted(_NEGATIVE))
        check_negative(text, weight, f'The query {query!r}')
        # A key of None is one that is not there.
        rest = {k: v for k, v in query.items() if k not in _NEGATIVE}
        query = rest | negative_of(query)
        if composed:
            query = dict(query, img_path=_image_of(query))
        if text is not None:
            _check_characters(text)
    if not isinstance(caption, str) or is_blank(caption):
        raise ValueError(f'A query is a sentence with words, got {caption!r}.')
    _check_characters(caption)
    return query


def _check_characters(sentence: str) -> None:
    try:
        sentence.encode('utf-8')
    except UnicodeEncodeError:
        raise ValueError(
            f'The sentence {sentence!r} has half of a character (a lone '
            'surrogate): read it from its file with the right encoding.'
        ) from None


def _image_of(query: dict) -> str | list[str]:
    """Path of the reference image, or of each of several."""
    given = query['img_path']
    several = given if isinstance(given, list | tuple) else [given]
    if not all(several):
        raise ValueError(f'An image of the query {query!r} has no path.')
    if not all(isinstance(path, str | os.PathLike) for path in several):
        raise ValueError(
            f'img_path of the query {query!r} must be a path or a list of '
            'paths.'
        )
    paths = [os.fspath(path) for path in several]
    return paths if len(paths) > 1 else paths[0]


def warn_of_paths(queries: Sequence[Query]) -> None:
    """Tell of sentences that look like names of files.

    Args:
        queries (Sequence[str | dict]): Checked queries.
    """
    sentences = [sentence_of(query) for query in queries]
    paths = [s for s in sentences if _FILE.search(s) or os.path.isfile(s)]
    if paths:
        # Not by `warn`, which a page shows to those who must not learn from
        # it which files the machine has.
        print_log(
            f'{len(paths)} of {len(queries)} sentences look like names of '
            f'files, first "{paths[0]}". They are searched for as they stand; '
            'read the files first if their content is meant.',
            logger='current',
            level=logging.WARNING,
        )


def sentence_of(query: Query) -> str:
    """Give the sentence of a query.

    Args:
        query (str | dict): A checked query.

    Returns:
        str: The sentence.
    """
    return query if isinstance(query, str) else query['caption']


def sample_of(query: Query) -> dict:
    """Make what a pipeline takes.

    Args:
        query (str | dict): A checked query.

    Returns:
        dict: The sample.
    """
    parts = dict(caption=query) if isinstance(query, str) else query
    return dict(role='query', pid=-1, image_id=-1, **parts)


def reference_pairs(
    references: Sequence[str | list[str] | None],
    places: Mapping[str, list[int]],
) -> tuple[Tensor, Tensor]:
    """Pair queries with the gallery items that are their own image.

    Args:
        references (Sequence[str | list[str] | None]): Images of each query.
        places (Mapping[str, list[int]]): Indices of the gallery's images by
            their real path.

    Returns:
        tuple[Tensor, Tensor]: Query and gallery indices, both (P, ), long.
    """
    pairs = [
        (row, col)
        for row, reference in enumerate(references)
        for path in {os.path.realpath(p): 0 for p in image_paths(reference)}
        for col in places.get(path, [])
    ]
    rows, cols = torch.tensor(pairs, dtype=torch.long).view(-1, 2).unbind(1)
    return rows, cols


def warn_of_absent(
    references: Sequence[str | list[str] | None], hidden: tuple[Tensor, Tensor]
) -> None:
    """Tell of queries that have no image of their own to leave out.

    Args:
        references (Sequence[str | None]): Image of each query.
        hidden (tuple[Tensor, Tensor]): Result of :func:`reference_pairs`.
    """
    without = len(references) - len(hidden[0].unique())
    if without:
        print_log(
            f'exclude_reference changes nothing for {without} of '
            f'{len(references)} queries: they have no image, or it is not in '
            'the gallery.',
            logger='current',
            level=logging.WARNING,
        )
