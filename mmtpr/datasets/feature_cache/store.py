"""Features of a frozen encoder on disk."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtpr.utils import atomic_folder, read_json

#: All files that a cache consists of.
FILES = frozenset({'meta.json', 'image.npy', 'text.npy', 'image_row.npy'})
#: Raised when the layout changes in a way that readers must know.
VERSION = 1
_META = 'meta.json'


@dataclass
class FeatureCache:
    """Features of the pairs of a dataset, memory-mapped.

    Attributes:
        meta (dict): What the cache was made of, see
            :func:`mmtpr.datasets.feature_cache.key.cache_key`.
        image (ndarray): Of shape (images, views, D).
        text (ndarray): Of shape (pairs, D).
        image (ndarray): Row of ``image`` of each pair, (pairs, ).
    """

    meta: dict[str, Any]
    image: np.ndarray
    text: np.ndarray
    image_row: np.ndarray


def read_cache(folder: str | os.PathLike) -> FeatureCache:
    """Open a cache.

    Args:
        folder (str | PathLike): The folder.

    Returns:
        FeatureCache: Its content; features are read from disk when used.

    Raises:
        FileNotFoundError: If there is no cache.
        ValueError: If it is damaged or of another version.
    """
    folder = Path(folder)
    meta = _read_meta(folder)
    arrays = {}
    for name in ('image', 'text', 'image_row'):
        path = folder / f'{name}.npy'
        try:
            arrays[name] = np.load(path, mmap_mode='r', allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f'The feature cache file "{path}" cannot be read ({error}): '
                f'{_cure(folder)}'
            ) from error
    return FeatureCache(meta, **arrays)


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / _META
    try:
        meta = read_json(path, 'feature cache')
    except FileNotFoundError:
        raise FileNotFoundError(f'There is no "{path}".') from None
    except ValueError as error:
        cause = error.__cause__ or error
        raise ValueError(
            f'The file "{path}" of the feature cache is damaged ({cause}): '
            f'{_cure(folder)}'
        ) from error
    if not isinstance(meta, dict) or not {'version', 'views'} <= set(meta):
        raise ValueError(
            f'"{folder}" is not a feature cache, its {_META} is of something '
            'else: name another folder with cache.'
        )
    if meta['version'] != VERSION:
        raise ValueError(
            f'The feature cache "{folder}" is of version {meta["version"]}, '
            f'not {VERSION}: {_cure(folder)}'
        )
    return meta


def _cure(folder: Path) -> str:
    """Advise what to do about a cache that cannot be used."""
    if {path.name for path in folder.iterdir()} <= FILES:
        return f'delete the folder "{folder}", and it is made anew.'
    return (
        f'delete {", ".join(sorted(FILES))} in "{folder}", and name another '
        'folder with cache; this one holds more than a feature cache.'
    )


def differences(meta: dict[str, Any], key: dict[str, Any]) -> list[str]:
    """Say in what a cache differs from what is wanted.

    Args:
        meta (dict): Of the cache.
        key (dict): What is wanted.

    Returns:
        list[str]: One short sentence for each difference.
    """
    return [
        f'{name}: {_short(meta.get(name))} there, {_short(value)} here'
        for name, value in key.items()
        if meta.get(name) != value
    ]


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def check_place(folder: Path) -> None:
    """Check that nothing but a cache is where one is to be.

    Args:
        folder (Path): The place.

    Raises:
        ValueError: If there is something else, or a mount point.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or folder.is_mount():
        raise ValueError(
            f'"{folder}" cannot be replaced by a feature cache, it is a '
            f'{"mount point" if folder.is_dir() else "file"}: name another '
            'folder with cache.'
        )
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    if names <= FILES and _META in names:
        _read_meta(folder)
        return
    shown = ', '.join(sorted(names - FILES or names)[:3])
    raise ValueError(
        f'"{folder}" is not a feature cache, or not only one: it holds '
        f'{shown}. It is left as it is; name another folder with cache.'
    )


class CacheWriter:
    """Writes a cache next to its place and moves it there when it is whole.

    What killed processes left next to the place is removed.

    Args:
        folder (str | PathLike): Where the cache will be. A cache that is
            there is replaced.
        meta (dict): What the cache is made of.
        shapes (dict[str, tuple]): Shape of ``image`` and ``text``.
        image (ndarray): Row of ``image`` of each pair.
        dtype (str): Type of the features. Defaults to ``'float32'``.

    Raises:
        ValueError: If there is something else at that place; it is left
            alone.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        meta: dict[str, Any],
        shapes: dict[str, tuple[int, ...]],
        image_row: np.ndarray,
        dtype: str = 'float32',
    ) -> None:
        self.folder = Path(folder).resolve()
        check_place(self.folder)
        self.meta = meta
        self.shapes = shapes
        self.image_row = image_row
        self.dtype = dtype

    def __enter__(self) -> dict[str, np.ndarray]:
        """Open the files.

        Returns:
            dict[str, ndarray]: ``image`` and ``text``, to be filled.
        """
        self._writing = self._write()
        return self._writing.__enter__()

    def __exit__(self, kind, error, trace) -> bool | None:
        """Move the files to their place, or remove them after an error."""
        return self._writing.__exit__(kind, error, trace)

    @contextmanager
    def _write(self) -> Iterator[dict[str, np.ndarray]]:
        with atomic_folder(self.folder, FILES, check_place) as temporary:
            np.save(temporary / 'image_row.npy', self.image_row)
            arrays: dict[str, Any] = {
                name: np.lib.format.open_memmap(
                    temporary / f'{name}.npy', 'w+', self.dtype, shape
                )
                for name, shape in self.shapes.items()
            }
            yield arrays
            for array in arrays.values():
                array.flush()
            arrays.clear()
            meta = json.dumps(dict(self.meta, version=VERSION), indent=1)
            (temporary / _META).write_text(meta, encoding='utf-8')
