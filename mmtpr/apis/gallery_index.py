"""Embeddings of a folder of images, kept on disk."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from mmengine.logging import print_log

from mmtpr.checkpoints.files import load_weights
from mmtpr.evaluation.equal_items import EqualItems
from mmtpr.evaluation.similarity import find_equal_items
from mmtpr.utils import atomic_write
from mmtpr.utils.fingerprint import text_fingerprint

_KIND = 'mmtpr gallery index 1'


@dataclass
class GalleryIndex:
    """Images and their embeddings.

    Args:
        paths (list[str]): Of the N images.
        features (Tensor): L2-normalised, of shape (N, T, D), float32.
        broken (dict[str, str]): Path -> reason, of images left out.
    """

    paths: list[str]
    features: torch.Tensor
    broken: dict[str, str] = field(default_factory=dict)

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Indices of the images by their real path, found once."""
        places: dict[str, list[int]] = {}
        for index, path in enumerate(self.paths):
            places.setdefault(os.path.realpath(path), []).append(index)
        return places

    @cached_property
    def equal(self) -> EqualItems:
        """Images of equal embeddings, which must tie, found once."""
        return find_equal_items(self.features)

    def save(self, file: str | os.PathLike, owner: dict[str, str]) -> None:
        """Write the index; the file appears whole or not at all.

        Args:
            file (str | PathLike): The file.
            owner (dict[str, str]): Fingerprints of what it was made of, by
                name.
        """
        content = dict(
            kind=_KIND,
            owner=owner,
            paths=self.paths,
            features=self.features,
            broken=self.broken,
        )
        with atomic_write(file) as handle:
            torch.save(content, handle)

    @classmethod
    def load(
        cls, file: str | os.PathLike, owner: dict[str, str]
    ) -> tuple['GalleryIndex | None', list[str]]:
        """Open an index if it is of the same model and the same images.

        Its embeddings stay in the file, and many processes share them.

        Args:
            file (str | PathLike): The file; it need not exist.
            owner (dict[str, str]): Fingerprints as for :meth:`save`.

        Returns:
            tuple: The index, None if there is none that fits, and the names of
            the fingerprints that differ.

        Raises:
            ValueError: If the file is something else. It is not touched.
        """
        if not Path(file).exists():
            return None, []
        try:
            content = load_weights(file, mmap=True)
        except (ValueError, FileNotFoundError):
            content = None
        if not isinstance(content, dict) or content.get('kind') != _KIND:
            raise ValueError(
                f'"{file}" exists and is not a gallery index of this '
                'version. It is left as it is: name another file for the '
                'cache, or remove it.'
            )
        if damage := _damage(content):
            raise ValueError(
                f'The gallery index "{file}" is damaged: {damage}. Remove it, '
                'and it is made anew.'
            )
        differ = [k for k, v in owner.items() if content['owner'].get(k) != v]
        if differ:
            return None, differ
        names = ('paths', 'features', 'broken')
        index = cls(*(content[name] for name in names))
        number = len(index.features)
        finite = (part.isfinite().all() for part in index.features.split(4096))
        if number != len(index.paths) or not all(finite):
            raise ValueError(
                f'The gallery index "{file}" is damaged: {number} embeddings, '
                f'of which some may be NaN, for {len(index.paths)} images. '
                'Remove it, and it is made anew.'
            )
        return index, []


def cached_index(
    file: str | os.PathLike,
    owner: dict[str, str],
    make: Callable[[], GalleryIndex],
) -> GalleryIndex:
    """Read an index, or make it and write it.

    Args:
        file (str | PathLike): The file; it need not exist.
        owner (dict[str, str]): Fingerprints as for :meth:`GalleryIndex.save`.
        make (Callable): Makes the index where the file's does not fit.

    Returns:
        GalleryIndex: The index.

    Raises:
        ValueError: If the file is something else. It is not touched.
    """
    index, differ = GalleryIndex.load(file, owner)
    if differ:
        print_log(
            f'The gallery index "{file}" is of another '
            f'{" and another ".join(differ)}; it is made anew.',
            logger='current',
        )
    if index is None:
        _check_writable(Path(file).parent)
        index = make()
        index.save(file, owner)
    return index


def _damage(content: dict) -> str:
    """Say what an index lacks, or has of another kind."""
    kinds = dict(owner=dict, paths=list, features=torch.Tensor, broken=dict)
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            return f'its "{name}" is missing or no {kind.__name__}'
    feats = content['features']
    if feats.dim() != 3 or not feats.is_floating_point():
        return f'its features have the shape {tuple(feats.shape)}'
    return ''


def _check_writable(folder: Path) -> None:
    """Find out before the work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f'The cache cannot be written to "{folder}": {error.strerror}. '
            'Name another place, or none.'
        ) from error


def files_fingerprint(paths: Sequence[str]) -> str:
    """Fingerprint of files by path, size and time of change.

    Args:
        paths (Sequence[str]): The files; absent ones are allowed.

    Returns:
        str: 32 hexadecimal digits.
    """
    return text_fingerprint(_file_facts(path) for path in paths)


def _file_facts(path: str) -> str:
    try:
        facts = os.stat(path)
    except OSError:
        return f'{path}|absent'
    return f'{path}|{facts.st_size}|{facts.st_mtime_ns}'
