"""Files and folders that appear whole or not at all."""

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import LaunchError

fcntl: Any
try:
    import fcntl
except ImportError:  # a system without such locks
    fcntl = None

#: Errors of a disk or a quota without room, and the room that is none.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ROOM = 1 << 20
_LOCK = 'lock'
_OLD = '.old'
#: What tempfile adds to the name of a file or folder that is not whole yet.
_RANDOM = '[a-z0-9_]{8}'
_UNFINISHED = re.compile(rf'\.(.+)\.{_RANDOM}', re.DOTALL)
#: Seconds without a change after which a folder without lock is given up.
_AGE = 86400


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = 'wb') -> Iterator[IO]:
    """Open a file for writing that appears whole or not at all.

    Args:
        path (str | PathLike): Final path. Missing parent folders are made.
        mode (str): ``'wb'`` or ``'w'`` (UTF-8). Defaults to ``'wb'``.

    Yields:
        IO: A handle on a temporary file in the same folder, moved onto
        ``path`` when the block ends without an exception.

    Raises:
        LaunchError: If the disk is full.
        ValueError: If ``mode`` is another one.
    """
    if mode not in ('w', 'wb'):
        raise ValueError(f"mode must be 'w' or 'wb', not {mode!r}.")
    path = Path(path)
    if path.is_symlink():  # it stays one
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name}.'
    )
    try:
        encoding = None if 'b' in mode else 'utf-8'
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        allow_as_usual(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        full = is_disk_full(error, path.parent)
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        if full:
            raise LaunchError(disk_full_message(path)) from error
        raise


def allow_as_usual(path: str | os.PathLike) -> None:
    """Give a file that was made as a private one the usual permissions.

    Args:
        path (str | PathLike): The file, of mkstemp or the like.
    """
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, 0o666 & ~umask)


def check_writable(path: str | os.PathLike) -> None:
    """Check that a file can be written, before the work whose result it is.

    Args:
        path (str | PathLike): The file; missing parent folders are no
            obstacle, and are not made.

    Raises:
        LaunchError: If it cannot.
    """
    if not str(path) or os.path.isdir(path):
        raise LaunchError(f'"{path}" is no name of a file to write.')
    folder = Path(path).absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LaunchError(
            f'"{path}" cannot be written: {folder}: {error.strerror}.'
        ) from error


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Tell whether a write failed for want of room.

    Args:
        error (BaseException): What the write raised.
        folder (Path): Where it wrote.

    Returns:
        bool: True if so.
    """
    if isinstance(error, OSError):
        other = error.filename and Path(str(error.filename)).parent != folder
        return error.errno in _NO_ROOM and not other
    # Torch's writer says only that it failed.
    if not isinstance(error, RuntimeError) or 'writ' not in str(error):
        return False
    inner = error.__cause__ or error.__context__
    full = isinstance(inner, OSError) and inner.errno in _NO_ROOM
    return full or shutil.disk_usage(folder).free < _ROOM


def disk_full_message(path: Path) -> str:
    """Say that a file could not be written for want of room.

    Args:
        path (Path): The file.

    Returns:
        str: The sentence, with what to do.
    """
    kept = ' What was there before is kept.' if os.path.lexists(path) else ''
    return (
        f'The disk is full: "{path}" is not written.{kept} Make room and '
        'start again.'
    )


@contextmanager
def atomic_folder(
    folder: str | os.PathLike,
    names: Collection[str] | None = None,
    check: Callable[[Path], None] | None = None,
) -> Iterator[Path]:
    """Fill a folder that appears whole or not at all.

    Folders that killed processes left beside it are removed, and those in
    which a living one writes are not.

    Args:
        folder (str | PathLike): Final path. A link stays one, the folder that
            it shows is made. Missing parent folders are made.
        names (Collection[str], optional): Names of all files that such a
            folder consists of. Only a folder of these is replaced, and no
            other file is ever removed. Defaults to None: any content, and
            nothing but an empty folder is replaced.
        check (Callable[[Path], None], optional): Raises if what is at the
            final path must not be replaced; called before and after the
            folder is filled. Defaults to None.

    Yields:
        Path: A folder beside ``folder``, moved to its place when the block
        ends without an exception, and removed after one.

    Raises:
        FileExistsError: If there is something else at the final path.
        LaunchError: If the disk is full.
    """
    folder = Path(folder).resolve()
    _check_place(folder, names, check)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder, names)
    temporary = Path(
        tempfile.mkdtemp(dir=folder.parent, prefix=f'.{folder.name}.')
    )
    lock = _take_lock(temporary)
    try:
        os.chmod(temporary, 0o755)
        yield temporary
        _check_place(folder, names, check)
        _move_in(temporary, folder, names)
    except Exception as error:
        if is_disk_full(error, temporary):
            raise LaunchError(disk_full_message(folder)) from error
        raise
    finally:
        lock.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _check_place(
    folder: Path,
    names: Collection[str] | None,
    check: Callable[[Path], None] | None,
) -> None:
    if check is not None:
        check(folder)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or {*os.listdir(folder)} - {*(names or ())}:
        raise FileExistsError(
            f'"{folder}" exists and is something else. It is left as it is; '
            'remove it or name another folder.'
        )


def _take_lock(temporary: Path) -> IO:
    """Mark a folder as being written, until the file returned is closed."""
    file = open(temporary / _LOCK, 'wb')  # noqa: SIM115 (lives on)
    if fcntl:
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _move_in(
    temporary: Path, folder: Path, names: Collection[str] | None
) -> None:
    """Put a whole folder in its place, and remove the one that was there."""
    (temporary / _LOCK).unlink()
    old = temporary.with_name(temporary.name + _OLD)
    if names is not None:
        with suppress(FileNotFoundError):
            os.replace(folder, old)
    os.replace(temporary, folder)  # fails if there is a folder with files
    if names is not None:
        _remove(old, names)


def _remove_stale(folder: Path, names: Collection[str] | None) -> None:
    """Remove what killed processes left of the same folder."""
    name = re.escape(folder.name)
    ours = re.compile(rf'\.{name}\.{_RANDOM}(\.old)?')
    for path in folder.parent.iterdir():
        if not ours.fullmatch(path.name) or not path.is_dir():
            continue
        if names is not None and not _in_use(path):
            _remove(path, names)
        elif names is None and _is_given_up(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_given_up(folder: Path) -> bool:
    """Check that a folder has our lock and no process holds it."""
    return (folder / _LOCK).is_file() and not _in_use(folder)


def _in_use(folder: Path) -> bool:
    """Check whether a process writes a folder, or may do so."""
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


def _remove(folder: Path, names: Collection[str]) -> None:
    """Remove files and, if it held nothing else, their folder."""
    for name in (*names, _LOCK):
        with suppress(OSError):
            (folder / name).unlink()
    with suppress(OSError):
        folder.rmdir()


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


def remove_leftovers_of(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Remove what killed processes left half-written of some files.

    Args:
        paths (Iterable[str | PathLike]): Final paths of
            :func:`atomic_write`. No other process may be writing them.

    Returns:
        list[Path]: What was removed.
    """
    names: dict[Path, set[str]] = {}
    for path in map(Path, paths):
        names.setdefault(path.parent, set()).add(path.name)
    stale = [
        path
        for folder, wanted in names.items()
        if folder.is_dir()
        for path in folder.iterdir()
        if (found := _UNFINISHED.fullmatch(path.name)) and found[1] in wanted
    ]
    for path in stale:
        path.unlink(missing_ok=True)
    return stale
