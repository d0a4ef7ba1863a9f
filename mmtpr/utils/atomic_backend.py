"""Files of mmengine's runner, whole or not at all."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from .atomic import atomic_write

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


register_backend(ATOMIC_BACKEND, AtomicLocalBackend, force=True)
