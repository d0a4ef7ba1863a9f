"""Packing a folder of images."""

import json
import os
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from mmtpr.utils.atomic import atomic_folder
from mmtpr.utils.progress import progress

from .base import PackedImagesError
from .lmdb_images import DATA, require_lmdb
from .tar_index import INDEX, TABLE, index_shards

#: Endings of the files that are packed.
ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm')
_LOCK = 'lock.mdb'
_BATCH = 1000  # images of a transaction
_ROOM = 1 << 26  # bytes of a database at first; it grows
#: Longest name that LMDB takes, in bytes.
_LONGEST = 511


class Packed(NamedTuple):
    """What was packed.

    Attributes:
        images (int): Images.
        num_bytes (int): Their bytes.
        others (int): Files of the folder that are no images by their names.
    """

    images: int
    num_bytes: int
    others: int


def pack_tar(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    shard_bytes: int = 1 << 30,
    overwrite: bool = False,
) -> Packed:
    """Pack the images of a folder into tar shards with an index.

    Args:
        folder (str | PathLike): The images, in folders as they are.
        out (str | PathLike): Folder for the shards; there when they are whole.
        shard_bytes (int): Least size of a shard but the last. Defaults to
            1 GiB.
        overwrite (bool): Whether to replace a pack. Defaults to False.

    Returns:
        Packed: What was packed.

    Raises:
        FileExistsError: If ``out`` is there, and not to be replaced.
        FileNotFoundError: If the folder has no images.
    """
    names, others = list_images(folder)

    def fill(place: Path) -> int:
        shards: list[str] = []
        tar, total = None, 0
        try:
            for name, content in _contents(folder, names):
                if tar is None or tar.offset >= shard_bytes:
                    if tar is not None:
                        tar.close()
                    shards.append(f'images-{len(shards):05d}.tar')
                    tar = tarfile.open(place / shards[-1], 'w')  # noqa: SIM115
                _add(tar, name, content)
                total += len(content)
        finally:
            if tar is not None:
                tar.close()
        index_shards(place, shards)
        return total

    return _pack(names, others, out, fill, overwrite)


def pack_lmdb(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    overwrite: bool = False,
) -> Packed:
    """Pack the images of a folder into an LMDB database.

    Args:
        folder (str | PathLike): The images, in folders as they are.
        out (str | PathLike): Folder for the database; there when it is whole.
        overwrite (bool): Whether to replace a pack. Defaults to False.

    Returns:
        Packed: What was packed.

    Raises:
        FileExistsError: If ``out`` is there, and not to be replaced.
        FileNotFoundError: If the folder has no images.
        ImportError: If lmdb is not installed.
        ValueError: If a name has more than 511 bytes.
    """
    lmdb = require_lmdb()
    names, others = list_images(folder)
    long = [name for name in names if len(os.fsencode(name)) > _LONGEST]
    if long:
        raise ValueError(
            f'{len(long)} names have more than {_LONGEST} bytes, the most '
            f'that LMDB takes, first "{long[0]}". Pack them as tar.'
        )

    def fill(place: Path) -> int:
        total, room = 0, _ROOM
        base = lmdb.open(str(place), map_size=room, lock=False)
        try:
            batch: list[tuple[bytes, bytes]] = []
            for name, content in _contents(folder, names):
                batch.append((os.fsencode(name), content))
                total += len(content)
                if len(batch) == _BATCH:
                    room = _write_batch(lmdb, base, batch, room)
            _write_batch(lmdb, base, batch, room)
            base.sync(True)
        finally:
            base.close()
        return total

    return _pack(names, others, out, fill, overwrite)


def list_images(folder: str | os.PathLike) -> tuple[list[str], int]:
    """List the images of a folder and of those in it.

    Args:
        folder (str | PathLike): The folder.

    Returns:
        tuple[list[str], int]: Their names in it with ``/`` between, sorted,
        and the number of other files.

    Raises:
        FileNotFoundError: If there are none.
    """
    root = os.fspath(folder)
    names, others = [], 0
    for place, _, files in os.walk(root, onerror=_raise, followlinks=True):
        inner = os.path.relpath(place, root).replace(os.sep, '/')
        for file in files:
            if file.lower().endswith(ENDINGS):
                names.append(file if inner == '.' else f'{inner}/{file}')
            else:
                others += 1
    if not names:
        raise FileNotFoundError(
            f'There are no images in "{root}", files that end in '
            f'{", ".join(ENDINGS)}.'
        )
    return sorted(names), others


def _raise(error: OSError) -> None:
    raise FileNotFoundError(
        f'The folder "{error.filename}" cannot be listed: {error.strerror}.'
    ) from error


def _pack(
    names: list[str],
    others: int,
    out: str | os.PathLike,
    fill: Callable[[Path], int],
    overwrite: bool,
) -> Packed:
    replaced = _files_of_pack(Path(out)) if overwrite else None
    with atomic_folder(out, replaced) as place:
        total = fill(place)
    return Packed(len(names), total, others)


def _files_of_pack(folder: Path) -> Collection[str] | None:
    """Files of a pack that may be replaced; None if there is none."""
    if (folder / DATA).is_file():
        return {DATA, _LOCK}
    with suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads((folder / INDEX).read_text('utf-8'))
        return {INDEX, TABLE, *(shard['name'] for shard in facts['shards'])}
    return None


def _contents(
    folder: str | os.PathLike, names: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents, as they are on the disk."""
    with progress(len(names), 'Packing images') as done:
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, 'rb') as file:
                    content = file.read()
            except OSError as error:
                raise PackedImagesError(
                    f'The image "{path}" cannot be read: {error.strerror}.'
                ) from error
            yield name, content
            done(1)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add an image; the same images give the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))
    tar.members.clear()  # type: ignore[attr-defined]


def _write_batch(lmdb, base, batch: list, room: int) -> int:
    """Write and empty a batch; gives the size of the map, which grows."""
    while True:
        try:
            with base.begin(write=True) as transaction:
                for name, content in batch:
                    transaction.put(name, content)
            batch.clear()
            return room
        except lmdb.MapFullError:
            room *= 2
            base.set_mapsize(room)
