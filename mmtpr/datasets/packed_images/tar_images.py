"""Images of tar shards."""

import os
import zlib
from pathlib import Path
from weakref import finalize

from mmengine.fileio import register_backend

from .base import PackedBackend, PackedImagesError
from .tar_index import AGAIN, BLOCK, INDEX, TarIndex


class TarShards:
    """Shards with their index; each is opened when it is first read.

    Args:
        folder (str): The folder they lie in.

    Raises:
        PackedImagesError: See :class:`TarIndex`.
    """

    def __init__(self, folder: str) -> None:
        self.index = TarIndex(folder)
        self._files: dict[int, int] = {}
        finalize(self, _close, self._files, os.getpid())

    def read(self, key: str) -> bytes | None:
        """Read an image.

        Args:
            key (str): Its name.

        Returns:
            bytes | None: The file; None if there is none of that name.

        Raises:
            PackedImagesError: If something else is in its place.
        """
        place = self.index.find(key)
        if place is None:
            return None
        path = self.index.folder / self.index.shards[place.shard]
        file = self._file(place.shard, path)
        content = _read_at(file, BLOCK + place.size, place.offset - BLOCK)
        header, content = content[:BLOCK], content[BLOCK:]
        whole = len(content) == place.size
        if not whole or zlib.crc32(header) != place.check:
            raise PackedImagesError(
                f'The shard "{path}" is not the one that was indexed: '
                f'"{key}" is not at byte {place.offset:,}. Get it again, or '
                f'{AGAIN}'
            )
        return content

    def _file(self, shard: int, path: Path) -> int:
        if shard not in self._files:
            flags = os.O_RDONLY | getattr(os, 'O_BINARY', 0)
            opened = os.open(path, flags)
            if self._files.setdefault(shard, opened) != opened:
                os.close(opened)  # another thread was quicker
        return self._files[shard]


class TarImages(PackedBackend):
    """The file backend of ``tar://FOLDER/NAME``.

    Any image is read at once, in any order, so that shuffling, samplers and
    filters work as with single files.
    """

    scheme = 'tar'
    mark = INDEX

    def open_pack(self, folder: str) -> TarShards:
        """Open shards. See :meth:`PackedBackend.open_pack`.

        Args:
            folder (str): Their folder.

        Returns:
            TarShards: The shards.
        """
        return TarShards(folder)

    def read(self, pack: TarShards, key: str) -> bytes | None:
        """Read an image. See :meth:`PackedBackend.read`.

        Args:
            pack (TarShards): The shards.
            key (str): The image.

        Returns:
            bytes | None: The file.
        """
        return pack.read(key)

    def has(self, pack: TarShards, key: str) -> bool:
        """Tell whether there is an image. See :meth:`PackedBackend.has`.

        Args:
            pack (TarShards): The shards.
            key (str): The image.

        Returns:
            bool: True if so.
        """
        return pack.index.find(key) is not None


def _read_at(file: int, size: int, offset: int) -> bytes:
    """Read at a place; threads and forks do not disturb each other."""
    if hasattr(os, 'pread'):
        return os.pread(file, size, offset)
    os.lseek(file, offset, os.SEEK_SET)  # Windows; a thread at a time
    return os.read(file, size)


def _close(files: dict[int, int], process: int) -> None:
    for file in files.values() if process == os.getpid() else ():
        os.close(file)


register_backend('mmtpr.tar', TarImages, force=True, prefixes='tar')
