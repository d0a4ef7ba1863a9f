"""Images of an LMDB database."""

import os
from typing import Any

from mmengine.fileio import register_backend

from mmtpr.utils.lazy import require

from .base import PackedBackend, PackedImagesError

DATA = 'data.mdb'


class LmdbImages(PackedBackend):
    """The file backend of ``lmdb://FOLDER/NAME``.

    mmengine's ``LmdbBackend`` takes the whole path for the key, gives None
    for one that is missing, and goes on in a fork with what its parent
    opened, which LMDB forbids.

    Raises:
        ImportError: If lmdb is not installed.
    """

    scheme = 'lmdb'
    mark = DATA

    def open_pack(self, folder: str) -> Any:
        """Open a database. See :meth:`PackedBackend.open_pack`.

        Args:
            folder (str): Its folder.

        Returns:
            lmdb.Environment: The database.

        Raises:
            PackedImagesError: If it is broken.
        """
        lmdb = require_lmdb()
        path = os.path.join(folder, DATA)
        try:
            pack = lmdb.open(
                folder,
                readonly=True,
                create=False,
                lock=False,  # nobody writes
                readahead=False,  # images are read in any order
                meminit=False,
            )
            pages = pack.info()['last_pgno'] + 1
            needed = pages * pack.stat()['psize']
        except lmdb.Error as error:
            raise PackedImagesError(
                f'"{path}" is no LMDB database, or a broken one ({error}). '
                'Pack the images again.'
            ) from error
        found = os.path.getsize(path)
        if found < needed:  # reading would end the process
            pack.close()
            raise PackedImagesError(
                f'"{path}" has {found:,} of {needed:,} bytes: it is cut off '
                'or not all copied. Get it again.'
            )
        return pack

    def let_go(self, pack: Any) -> None:
        """Close a database. See :meth:`PackedBackend.let_go`.

        Args:
            pack (lmdb.Environment): The database.
        """
        pack.close()  # or it could not be opened anew

    def read(self, pack: Any, key: str) -> bytes | None:
        """Read an image. See :meth:`PackedBackend.read`.

        Args:
            pack (lmdb.Environment): The database.
            key (str): The image.

        Returns:
            bytes | None: The file.
        """
        name = key.encode('utf-8', 'surrogateescape')
        lmdb = require_lmdb()
        try:
            with pack.begin() as transaction:
                return transaction.get(name)
        except lmdb.BadValsizeError:  # an empty name, or one too long
            return None
        except lmdb.Error as error:
            raise PackedImagesError(
                f'"{pack.path()}" is broken: "{key}" cannot be read '
                f'({error}). Pack the images again.'
            ) from error

    def has(self, pack: Any, key: str) -> bool:
        """Tell whether there is an image. See :meth:`PackedBackend.has`.

        Args:
            pack (lmdb.Environment): The database.
            key (str): The image.

        Returns:
            bool: True if so.
        """
        return self.read(pack, key) is not None


def require_lmdb() -> Any:
    """Import lmdb.

    Returns:
        ModuleType: The module.

    Raises:
        ImportError: If it is not installed.
    """
    return require('lmdb', 'lmdb', 'Reading and writing lmdb://')


register_backend('mmtpr.lmdb', LmdbImages, force=True, prefixes='lmdb')
