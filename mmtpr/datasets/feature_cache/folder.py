"""The folder of a feature cache and those next to it while it is made."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # a system without such locks
    fcntl = None

#: All that a cache consists of.
FILES = frozenset({'meta.json', 'image.npy', 'text.npy', 'picture.npy'})
_LOCK = 'lock'
_OLD = '.old'
#: Seconds without a change after which a folder without lock is given up.
_AGE = 86400


def take_lock(temporary: Path) -> IO:
    """Mark a folder as being written, as long as this process lives.

    Args:
        temporary (Path): The folder.

    Returns:
        IO: Closing it gives the folder free.
    """
    file = open(temporary / _LOCK, 'wb')  # noqa: SIM115 (lives on)
    if fcntl:
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def move_in(temporary: Path, folder: Path) -> None:
    """Put a whole cache in its place, and remove the one that was there.

    Args:
        temporary (Path): Where it was written.
        folder (Path): Its place: free, empty or another cache.
    """
    (temporary / _LOCK).unlink()
    old = temporary.with_name(temporary.name + _OLD)
    with suppress(FileNotFoundError):
        os.replace(folder, old)
    os.replace(temporary, folder)
    _remove(old)


def remove_stale(folder: Path) -> None:
    """Remove what killed processes left of the same cache.

    Args:
        folder (Path): Place of the cache.
    """
    name = re.escape(folder.name)
    ours = re.compile(rf'\.{name}\.[a-z0-9_]{{8}}(\.old)?')
    for path in folder.parent.iterdir():
        if ours.fullmatch(path.name) and path.is_dir() and not _in_use(path):
            _remove(path)


def _in_use(folder: Path) -> bool:
    """Whether a process writes a folder, or may do so."""
    if folder.name.endswith(_OLD):
        return False
    try:
        with open(folder / _LOCK, 'r+b') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except (OSError, AttributeError):  # nothing to tell it by but its age
        return time.time() - _last_change(folder) < _AGE


def _last_change(folder: Path) -> float:
    times = [0.0]
    with suppress(FileNotFoundError):  # removed meanwhile
        for path in (folder, *folder.iterdir()):
            times.append(path.stat().st_mtime)
    return max(times)


def _remove(folder: Path) -> None:
    """Remove a cache and, if it held nothing else, its folder."""
    for name in (*FILES, _LOCK):
        with suppress(OSError):
            (folder / name).unlink()
    with suppress(OSError):
        folder.rmdir()
