"""Checks of items that are to be stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_MOST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class NewItems:
    """Items as they are stored.

    Attributes:
        ids (list[str]): Of the N items.
        paths (list[str]): Likewise.
        vectors (ndarray): Of shape (N, T, D), float32.
    """

    ids: list[str]
    paths: list[str]
    vectors: np.ndarray


def check_items(
    ids: Sequence[str],
    vectors: Tensor,
    paths: Sequence[str] | None,
    shape: tuple[int, int],
) -> NewItems:
    """Check new items.

    Args:
        ids (Sequence[str]): Of the N items.
        vectors (Tensor): Of shape (N, T, D), or (N, D).
        paths (Sequence[str], optional): None for the ids.
        shape (tuple[int, int]): T and D of the store; zeros if unknown.

    Returns:
        NewItems: The items.

    Raises:
        ValueError: If something does not fit.
    """
    ids = _texts(ids, 'id')
    paths = ids if paths is None else _texts(paths, 'path')
    vectors = torch.as_tensor(vectors).detach()
    vectors = vectors[:, None] if vectors.dim() == 2 else vectors
    if vectors.dim() != 3 or not vectors.is_floating_point():
        raise ValueError(
            'Expected vectors (N, T, D) or (N, D) of floating numbers, got '
            f'{tuple(vectors.shape)} of {vectors.dtype}.'
        )
    if not len(ids) == len(paths) == len(vectors):
        raise ValueError(
            f'There are {len(ids)} ids, {len(paths)} paths and vectors of '
            f'{len(vectors)} items.'
        )
    if len(set(ids)) != len(ids):
        again = next(x for x in ids if ids.count(x) > 1)
        raise ValueError(f'The id "{again}" is given twice.')
    if 0 in vectors.shape[1:]:
        raise ValueError('Items have no vectors.')
    if any(shape) and tuple(vectors.shape[1:]) != shape:
        raise ValueError(
            f'The items of the store have {shape[0]} vectors of {shape[1]} '
            f'numbers, the new ones {vectors.shape[1]} of {vectors.shape[2]}: '
            'they are of another model.'
        )
    found = vectors.float().cpu()
    largest = float('inf') if vectors.shape[1] == 1 else _MOST
    fits = (found.isfinite() & (found.abs() <= largest)).flatten(1).all(1)
    if not fits.all():
        place = int((~fits).nonzero()[0])
        raise ValueError(
            f'The vectors of "{ids[place]}" are not finite, or too large for '
            'float16.'
        )
    return NewItems(ids, paths, found.numpy())


def is_storable(text: str) -> bool:
    """Tell whether a text is Unicode, which not every name of a file is.

    Args:
        text (str): The text.

    Returns:
        bool: True if so.
    """
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        return False
    return True


def _texts(values: Sequence[str], what: str) -> list[str]:
    if isinstance(values, str):
        raise ValueError(f'Expected a list of {what}s, got {values!r}.')
    out = list(values)
    for value in out:
        if not isinstance(value, str) or not value:
            raise ValueError(f'Each {what} is a text, got {value!r}.')
        if not is_storable(value):
            raise ValueError(
                f'The {what} {value!r} is no Unicode text: rename the file.'
            )
    return out
