"""The index of tar shards: where each image lies in which of them."""

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtpr.utils.atomic import atomic_write
from mmtpr.utils.io import read_json
from mmtpr.utils.progress import progress

from .base import GUIDE, PackedImagesError

INDEX, TABLE = 'index.json', 'index.npy'
BLOCK = tarfile.BLOCKSIZE
#: What to do about an index of other shards.
AGAIN = (
    'index the shards again with tools/dataset_converters/pack_images.py '
    '--index FOLDER.'
)
#: Rows of the table.
_KEY, _SHARD, _OFFSET, _SIZE, _CHECK = range(5)


class Place(NamedTuple):
    """Where an image lies.

    Attributes:
        shard (int): Number of the shard.
        offset (int): First byte of the image; its header is before it.
        size (int): Bytes.
        check (int): Checksum of its header, which has its name.
    """

    shard: int
    offset: int
    size: int
    check: int


class TarIndex:
    """Places of images by their names.

    The table is mapped into memory: processes share it, 40 bytes an image.

    Args:
        folder (str | PathLike): The folder of the shards.

    Raises:
        PackedImagesError: If the index is broken, or one of other shards.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        try:
            facts = read_json(self.folder / INDEX, 'index of tar shards')
            self.shards = [str(shard['name']) for shard in facts['shards']]
            sizes = [int(shard['size']) for shard in facts['shards']]
            table = np.load(self.folder / TABLE, mmap_mode='r')
            self.table = np.asarray(table)  # a plain view is quicker
            fits = self.table.shape == (5, facts['images'])
            fits = fits and _checksum(self.table) == facts['checksum']
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PackedImagesError(
                f'The index of "{self.folder}" cannot be read ({error}): '
                f'{AGAIN}'
            ) from error
        if not fits:
            raise PackedImagesError(
                f'{TABLE} and {INDEX} of "{self.folder}" do not belong '
                f'together: {AGAIN}'
            )
        for name, size in zip(self.shards, sizes, strict=True):
            self._check_shard(name, size)

    def _check_shard(self, name: str, size: int) -> None:
        path = self.folder / name
        found = path.stat().st_size if path.is_file() else None
        if found == size:
            return
        state = (
            'does not exist'
            if found is None
            else f'has {found:,} bytes, and {size:,} when it was indexed'
        )
        raise PackedImagesError(
            f'The shard "{path}" {state}: it is cut off, not all copied, or '
            f'another one. Get it again, or {AGAIN}'
        )

    def __len__(self) -> int:
        return self.table.shape[1]

    def find(self, key: str) -> Place | None:
        """Find an image.

        Args:
            key (str): Its name.

        Returns:
            Place | None: None if there is none.
        """
        wanted = np.uint64(_hash(key))
        column = int(self.table[_KEY].searchsorted(wanted))
        if column == len(self) or self.table[_KEY, column] != wanted:
            return None
        return Place(*self.table[1:, column].tolist())


def index_shards(
    folder: str | os.PathLike, shards: Sequence[str] | None = None
) -> int:
    """Write the index of tar shards, of one's own making or WebDataset's.

    Args:
        folder (str | PathLike): The folder they lie in.
        shards (Sequence[str], optional): Their names. Defaults to None, all
            ``*.tar`` of the folder.

    Returns:
        int: Images found; all regular files count.

    Raises:
        FileNotFoundError: If there is no shard.
        PackedImagesError: If a shard is cut off or no plain tar, or two have
            an image of the same name.
    """
    folder = Path(folder)
    if shards is None:
        shards = sorted(path.name for path in folder.glob('*.tar'))
    if not shards:
        raise FileNotFoundError(
            f'There is no *.tar in "{folder}". See {GUIDE}.'
        )
    table = _sorted_table(folder, shards)  # (5, N)
    with atomic_write(folder / TABLE) as file:
        np.save(file, table)
    facts = dict(
        images=table.shape[1],
        checksum=_checksum(table),
        shards=[
            dict(name=name, size=(folder / name).stat().st_size)
            for name in shards
        ],
    )
    with atomic_write(folder / INDEX, 'w') as file:
        json.dump(facts, file, indent=1)
    return table.shape[1]


def _sorted_table(folder: Path, shards: Sequence[str]) -> np.ndarray:
    """Rows of all images in the order of their hashes, (5, N), uint64."""
    parts = []
    with progress(len(shards), 'Indexing shards') as done:
        for number, name in enumerate(shards):
            rows = [
                (_hash(key), number, *place[1:])
                for key, place in _members(folder / name)
            ]
            parts.append(np.array(rows, dtype=np.uint64).reshape(-1, 5))
            done(1)
    table = np.concatenate(parts).T  # (5, N)
    table = np.ascontiguousarray(table[:, np.argsort(table[_KEY])])
    again = np.flatnonzero(table[_KEY, 1:] == table[_KEY, :-1])
    if len(again):
        first = int(again[0])
        names = [
            _name_at(folder, shards, table[:, column])
            for column in (first, first + 1)
        ]
        raise PackedImagesError(
            f'{len(again)} images are in the shards of "{folder}" more than '
            f'once, first {names[0]} and {names[1]}: one name, one image.'
        )
    return table


def _name_at(folder: Path, shards: Sequence[str], row: np.ndarray) -> str:
    shard = shards[int(row[_SHARD])]
    for key, place in _members(folder / shard):
        if place.offset == int(row[_OFFSET]):
            return f'"{key}" of {shard}'
    return f'one of {shard}'


def _members(path: Path) -> Iterator[tuple[str, Place]]:
    """Names and places of the regular files of a shard."""
    try:
        with open(path, 'rb') as file, tarfile.open(path, 'r:') as tar:
            file.seek(-2 * BLOCK, os.SEEK_END)
            if any(file.read()):
                raise tarfile.ReadError('no end of the archive')
            for member in tar:
                if member.isreg() and not member.issparse():
                    file.seek(member.offset_data - BLOCK)
                    check = zlib.crc32(file.read(BLOCK))
                    place = member.offset_data, member.size, check
                    yield _plain(member.name), Place(0, *place)
                tar.members.clear()  # type: ignore[attr-defined]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise PackedImagesError(
            f'The shard "{path}" is cut off or no plain tar ({error}). Get '
            'it again; unpack it first if it is compressed.'
        ) from error


def _plain(name: str) -> str:
    return name[2:] if name.startswith('./') else name


def _hash(key: str) -> int:
    text = key.encode('utf-8', 'surrogateescape')
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), 'big')


def _checksum(table: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(table[_KEY]).tobytes())
