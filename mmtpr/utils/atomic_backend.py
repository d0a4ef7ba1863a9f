"""A file backend whose files appear whole or not at all."""

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from .io import atomic_write

#: Name for ``backend_args=dict(backend=...)``.
ATOMIC_BACKEND = 'mmtpr.atomic'


class AtomicLocalBackend(LocalBackend):
    """Local files, written beside their place and then moved onto it.

    A process killed while it writes leaves the former file as it was.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The file; missing folders are made.
        """
        with atomic_write(filepath, 'wb') as file:
            file.write(obj)

    def put_text(
        self, obj: str, filepath: str | Path, encoding: str = 'utf-8'
    ) -> None:
        """Write text.

        Args:
            obj (str): The content.
            filepath (str | Path): The file; missing folders are made.
            encoding (str): Defaults to ``'utf-8'``.
        """
        self.put(obj.encode(encoding), filepath)


def remove_leftovers(folder: str | os.PathLike, suffix: str = '.pth') -> int:
    """Remove what killed processes left half-written.

    Args:
        folder (str | PathLike): The folder that the backend wrote to. No
            other process may be writing there.
        suffix (str): End of the names of the files meant.

    Returns:
        int: The number of files removed.
    """
    stale = [p for p in Path(folder).glob(f'.*{suffix}.*') if p.is_file()]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


register_backend(ATOMIC_BACKEND, AtomicLocalBackend, force=True)
