"""What file backends of packed images have in common."""

import os
from abc import abstractmethod
from pathlib import Path
from threading import Lock
from typing import Any

from mmengine.fileio import BaseStorageBackend

#: The page that tells of packed images.
GUIDE = 'docs/user_guides/data.md#packed-images'
_MAKE = 'tools/dataset_converters/pack_images.py'


class PackedImagesError(OSError):
    """Packed images that cannot be read, whatever their paths."""


class PackedBackend(BaseStorageBackend):
    """A file backend of mmengine that reads out of packed images.

    ``scheme://FOLDER/KEY`` is the image KEY of the pack FOLDER. A pack is
    opened once in each process: what a worker inherits by a fork is not used.
    """

    #: What stands before ``://``.
    scheme = ''
    #: The file by which a pack is known.
    mark = ''

    @abstractmethod
    def open_pack(self, folder: str) -> Any:
        """Open a pack.

        Args:
            folder (str): The pack.

        Returns:
            Any: What :meth:`read` and :meth:`has` take.

        Raises:
            PackedImagesError: If it is broken.
        """

    @abstractmethod
    def read(self, pack: Any, key: str) -> bytes | None:
        """Read an image.

        Args:
            pack (Any): See :meth:`open_pack`.
            key (str): The image.

        Returns:
            bytes | None: The file; None if the pack has none of that name.

        Raises:
            PackedImagesError: If the pack is broken.
        """

    @abstractmethod
    def has(self, pack: Any, key: str) -> bool:
        """Tell whether a pack has an image.

        Args:
            pack (Any): See :meth:`open_pack`.
            key (str): The image.

        Returns:
            bool: True if so.
        """

    def let_go(self, pack: Any) -> None:
        """Close a pack that a fork inherited.

        Args:
            pack (Any): See :meth:`open_pack`.
        """

    def get(self, filepath: str | Path) -> bytes:
        """Read an image.

        Args:
            filepath (str | Path): ``scheme://FOLDER/KEY``.

        Returns:
            bytes: The file.

        Raises:
            FileNotFoundError: If there is no such pack, or no such image.
            PackedImagesError: If the pack is broken.
        """
        pack, key = self._find(str(filepath))
        content = self.read(pack, key)
        if content is None:
            raise FileNotFoundError(
                f'There is no image "{key}" in "{filepath}": it was not '
                'packed.'
            )
        return content

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Read a text.

        Args:
            filepath (str | Path): See :meth:`get`.
            encoding (str): Defaults to ``'utf-8'``.

        Returns:
            str: The text.
        """
        return self.get(filepath).decode(encoding)

    def exists(self, filepath: str | Path) -> bool:
        """Tell whether there is an image.

        Args:
            filepath (str | Path): See :meth:`get`.

        Returns:
            bool: True if so.
        """
        try:
            return self.has(*self._find(str(filepath)))
        except FileNotFoundError:
            return False

    def isfile(self, filepath: str | Path) -> bool:
        """Tell whether there is an image. See :meth:`exists`.

        Args:
            filepath (str | Path): See :meth:`get`.

        Returns:
            bool: True if so.
        """
        return self.exists(filepath)

    def join_path(self, filepath: str, *filepaths: str) -> str:
        """Join parts of a path.

        Args:
            filepath (str): The first.
            *filepaths (str): The others.

        Returns:
            str: The path.
        """
        return '/'.join((filepath.rstrip('/'), *filepaths))

    def pack_of(self, folder: str) -> Any:
        """Open the pack of a folder, once in each process.

        Args:
            folder (str): The pack.

        Returns:
            Any: See :meth:`open_pack`.

        Raises:
            FileNotFoundError: If the folder is none.
        """
        opened = _in_this_process()
        key = self.scheme, folder
        with opened.lock:
            if key in opened.packs:
                return opened.packs[key][1]
            if not os.path.isfile(os.path.join(folder, self.mark)):
                raise FileNotFoundError(
                    f'"{folder}" holds no packed images: there is no '
                    f'{self.mark} in it. {_MAKE} makes them. See {GUIDE}.'
                )
            pack = self.open_pack(folder)
            opened.packs[key] = self, pack
            return pack

    def _find(self, uri: str) -> tuple[Any, str]:
        """The pack of a path, and the name of the image in it."""
        path = uri.partition('://')[2]
        for (scheme, folder), (_, pack) in _in_this_process().known():
            if scheme == self.scheme and path.startswith(f'{folder}/'):
                return pack, path[len(folder) + 1 :]
        for parent in Path(path).parents:
            folder = str(parent)
            if os.path.isfile(os.path.join(folder, self.mark)):
                return self.pack_of(folder), path[len(folder) + 1 :]
        raise FileNotFoundError(
            f'No folder of "{uri}" holds packed images, with a file '
            f'{self.mark}. {_MAKE} makes them. See {GUIDE}.'
        )


class _Opened:
    """The packs that a process has opened."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.packs: dict[tuple[str, str], tuple[PackedBackend, Any]] = {}
        self.lock = Lock()

    def known(self) -> list:
        """Keys with backends and packs; a copy that threads do not disturb."""
        return [*self.packs.items()]


_opened = _Opened()


def _in_this_process() -> _Opened:
    """What is open here; what a fork inherited is let go."""
    global _opened
    if _opened.process != os.getpid():
        inherited, _opened = _opened, _Opened()
        for backend, pack in inherited.packs.values():
            backend.let_go(pack)
    return _opened
