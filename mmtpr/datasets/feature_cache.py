"""Features of a frozen encoder on disk."""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtpr.utils import read_json

#: Raised when the layout changes in a way that readers must know.
VERSION = 1
_META = 'meta.json'


@dataclass
class FeatureCache:
    """Features of the pairs of a data set, memory-mapped.

    Attributes:
        meta (dict): What the cache was made of, see :func:`cache_key`.
        image (ndarray): Of shape (pictures, views, D).
        text (ndarray): Of shape (pairs, D).
        picture (ndarray): Row of ``image`` of each pair, (pairs, ).
    """

    meta: dict[str, Any]
    image: np.ndarray
    text: np.ndarray
    picture: np.ndarray


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
    meta = read_json(folder / _META, 'feature cache')
    version = meta.get('version') if isinstance(meta, dict) else None
    if version != VERSION:
        raise ValueError(
            f'The feature cache "{folder}" is of version {version}, not '
            f'{VERSION}: delete the folder, and it is made anew.'
        )
    arrays = {}
    for name in ('image', 'text', 'picture'):
        path = folder / f'{name}.npy'
        try:
            arrays[name] = np.load(path, mmap_mode='r', allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f'The feature cache file "{path}" cannot be read ({error}): '
                f'delete the folder "{folder}", and it is made anew.'
            ) from error
    return FeatureCache(meta, **arrays)


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


class CacheWriter:
    """Writes a cache next to its place and moves it there when it is whole.

    Args:
        folder (str | PathLike): Where the cache will be. What is there is
            replaced.
        meta (dict): What the cache is made of.
        shapes (dict[str, tuple]): Shape of ``image`` and ``text``.
        picture (ndarray): Row of ``image`` of each pair.
        dtype (str): Type of the features. Defaults to ``'float32'``.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        meta: dict[str, Any],
        shapes: dict[str, tuple[int, ...]],
        picture: np.ndarray,
        dtype: str = 'float32',
    ) -> None:
        self.folder = Path(folder)
        self.meta = meta
        self.shapes = shapes
        self.picture = picture
        self.dtype = dtype

    def __enter__(self) -> dict[str, np.ndarray]:
        """Open the files.

        Returns:
            dict[str, ndarray]: ``image`` and ``text``, to be filled.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = Path(
            tempfile.mkdtemp(
                dir=self.folder.parent, prefix=f'.{self.folder.name}.'
            )
        )
        os.chmod(self._temporary, 0o755)
        np.save(self._temporary / 'picture.npy', self.picture)
        self._arrays = {
            name: np.lib.format.open_memmap(
                self._temporary / f'{name}.npy', 'w+', self.dtype, shape
            )
            for name, shape in self.shapes.items()
        }
        return self._arrays

    def __exit__(self, kind, error, trace) -> None:
        """Move the files to their place, or remove them after an error."""
        for array in self._arrays.values():
            array.flush()
        self._arrays.clear()
        if kind is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            return
        content = json.dumps(dict(self.meta, version=VERSION), indent=1)
        (self._temporary / _META).write_text(content, encoding='utf-8')
        old = self._temporary.with_name(self._temporary.name + '.old')
        with suppress(FileNotFoundError):
            os.replace(self.folder, old)
        os.replace(self._temporary, self.folder)
        shutil.rmtree(old, ignore_errors=True)
