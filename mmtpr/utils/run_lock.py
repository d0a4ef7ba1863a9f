"""Lock of an output that two runs must not write at once."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from .errors import LaunchError

_MOST_PIDS = 1 << 31


@contextmanager
def lock_output(path: str | os.PathLike, what: str) -> Iterator[None]:
    """Keep other runs away from an output for a while.

    A file beside the output names host and process. One whose process is gone
    is taken over with a line: a killed run needs no cleaning. In a run of
    several processes the first takes the lock.

    Args:
        path (str | PathLike): Lock file; its folder is made.
        what (str): Name of the output, for messages.

    Yields:
        None: The output is this process's.

    Raises:
        LaunchError: If another run holds it, or nothing can be written there.
    """
    if not _is_first():
        yield
        return
    with hold_lock(path, what):
        yield


@contextmanager
def hold_lock(path: str | os.PathLike, what: str) -> Iterator[None]:
    """Take a lock as :func:`lock_output` does, in whichever process.

    Args:
        path (str | PathLike): Lock file; its folder is made.
        what (str): Name of the output, for messages.

    Yields:
        None: The output is this process's.

    Raises:
        LaunchError: If another run holds it, or this process does already, or
            nothing can be written there.
    """
    path = Path(path).absolute()
    host = socket.gethostname()
    owner = dict(
        host=host,
        pid=os.getpid(),
        started=_start_of(os.getpid()),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _take(path, owner, what)
    except OSError as error:
        raise LaunchError(
            f'{what} cannot be written: "{error.filename or path}": '
            f'{error.strerror}.'
        ) from error
    try:
        yield
    finally:
        _release(path, owner)


def _is_first() -> bool:
    """Tell the first process, also before the group is formed."""
    ranks = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    told = next(
        (os.environ[name] for name in ranks if name in os.environ), '0'
    )
    return is_main_process() and told == '0'


def _take(path: Path, owner: dict, what: str) -> None:
    for _ in range(3):
        if _create(path, owner):
            return
        _clear_stale(path, owner['host'], what)
    raise LaunchError(f'{what} is being locked by another run ("{path}").')


def _create(path: Path, owner: dict) -> bool:
    """Make the file with its content at once; False if there is one."""
    whole = path.with_name(f'{path.name}.{owner["host"]}.{owner["pid"]}')
    whole.write_text(json.dumps(owner), encoding='utf-8')
    try:
        # A hard link is made or not on network file systems too, where
        # flock is none of all machines.
        os.link(whole, path)
    except FileExistsError:
        return False
    except OSError:  # a disk without links
        return _create_exclusively(path, owner)
    finally:
        whole.unlink()
    return True


def _create_exclusively(path: Path, owner: dict) -> bool:
    try:
        with open(path, 'x', encoding='utf-8') as file:
            json.dump(owner, file)
    except FileExistsError:
        return False
    return True


def _clear_stale(path: Path, host: str, what: str) -> None:
    """Remove the lock of a process that is gone, or stop."""
    try:
        owner: Any = json.loads(path.read_text(encoding='utf-8'))
        theirs, pid = owner['host'], int(owner['pid'])
        if not 0 < pid < _MOST_PIDS:
            raise ValueError(pid)
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        raise LaunchError(
            f'{what} is locked by "{path}", which names no process. If no '
            'other run writes there, remove that file.'
        ) from None
    if theirs != host:
        raise LaunchError(
            f'{what} is in use by process {pid} of host {theirs}. If that run '
            f'is gone, remove "{path}"; else choose another place.'
        )
    if _lives(pid, owner.get('started')):
        raise LaunchError(
            f'{what} is in use by process {pid} of this host. Wait for it, or '
            'choose another place.'
        )
    _remove(path, owner, what)
    print_log(
        f'{what} was locked by process {pid}, which is gone: taken over.',
        logger='current',
        level=logging.WARNING,
    )


def _remove(path: Path, owner: dict, what: str) -> None:
    """Remove a stale lock, and no other that came in its place."""
    aside = path.with_name(f'{path.name}.stale.{os.getpid()}')
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return  # another run was faster
    try:
        if json.loads(aside.read_text(encoding='utf-8')) != owner:
            os.link(aside, path)
            raise LaunchError(f'{what} was just taken by another run.')
    finally:
        aside.unlink()


def _lives(pid: int, started: str | None) -> bool:
    """Tell whether a process runs, and is the one that was meant."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return started is None or _start_of(pid) in (None, started)


def _start_of(pid: int) -> str | None:
    """Boot and time of the start of a process, where the system tells.

    A number is given to another process in time, above all after a restart.
    """
    try:
        boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    return f'{boot} {stat.rpartition(")")[2].split()[19]}'


def _release(path: Path, owner: dict) -> None:
    """Remove the lock if it is still this process's."""
    if owner['pid'] != os.getpid():
        return  # a fork of the owner
    try:
        if json.loads(path.read_text(encoding='utf-8')) == owner:
            path.unlink()
    except (OSError, ValueError):
        pass
