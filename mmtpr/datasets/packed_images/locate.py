"""Folders of packed images in configs."""

import os

from mmengine import fileio

from .base import PackedBackend

#: What stands before ``://`` of packed images.
PACKED_SCHEMES = ('tar', 'lmdb')


def join_packed(root: str, folder: str) -> str | None:
    """Put the root of the data before a folder of packed images.

    Args:
        root (str): The root.
        folder (str): ``scheme://FOLDER``, or anything else.

    Returns:
        str | None: ``scheme://ROOT/FOLDER``; None for anything else.
    """
    scheme, mark, path = folder.partition('://')
    if not mark or scheme not in PACKED_SCHEMES:
        return None
    path = os.path.join(root, path).rstrip('/') or '/'
    return f'{scheme}://{path}'


def check_packed(folder: str) -> None:
    """Open packed images, before the first is needed.

    Args:
        folder (str): ``scheme://FOLDER``; other schemes are not looked at.

    Raises:
        FileNotFoundError: If there are none.
        ImportError: If what reads them is not installed.
        PackedImagesError: If they are broken.
    """
    scheme, _, path = folder.partition('://')
    if scheme in PACKED_SCHEMES:
        backend = fileio.get_file_backend(folder, enable_singleton=True)
        assert isinstance(backend, PackedBackend)
        backend.pack_of(path.rstrip('/'))
