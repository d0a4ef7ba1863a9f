"""Files of former generations, and of processes that were killed."""

import re
from contextlib import suppress
from pathlib import Path

from .manifest import NAME, Manifest

_FILE = r'(pooled|tokens|table|deleted)-\d{6,}\.(faiss|f16|f32|parquet|npy)'
_OURS = re.compile(rf'{_FILE}|\.({_FILE}|{re.escape(NAME)})\.[a-z0-9_]{{8}}')


def remove_leftover_files(folder: Path, manifest: Manifest) -> None:
    """Remove the files of a store that its current generation does not have.

    Files of other names are never touched. The caller holds the lock.

    Args:
        folder (Path): The store.
        manifest (Manifest): The current generation.
    """
    kept = {file.name for file in manifest.files}
    for path in folder.iterdir():
        if path.name not in kept and _OURS.fullmatch(path.name):
            # Windows keeps files that readers have open; a later writer
            # removes them.
            with suppress(OSError):
                path.unlink()
