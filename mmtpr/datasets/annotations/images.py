"""Finding images that are missing or do not decode."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from mmtpr.utils.images import (
    FOLDER,
    LOOP,
    MISSING,
    ImageState,
    file_problem,
    inspect_image,
    read_remote,
)
from mmtpr.utils.progress import progress

#: There is nothing to open. A file that may not be read is there.
_ABSENT = (MISSING, FOLDER, LOOP)


def find_bad_images(
    paths: Iterable[str], num_workers: int = 8
) -> dict[str, str]:
    """Decode images in threads and report the bad ones.

    Args:
        paths (Iterable[str]): The files.
        num_workers (int): Threads. Defaults to 8.

    Returns:
        dict[str, str]: Problem by path, in the order of ``paths``, see
        :func:`mmtpr.utils.images.image_problem`.
    """
    states = inspect_images(paths, num_workers).items()
    return {path: state.problem for path, state in states if state.problem}


def inspect_images(
    paths: Iterable[str], num_workers: int = 8
) -> dict[str, ImageState]:
    """Decode images in threads and tell what was seen of each.

    Args:
        paths (Iterable[str]): The files.
        num_workers (int): Threads. Defaults to 8.

    Returns:
        dict[str, ImageState]: State by path, in the order of ``paths``.
    """
    paths = list(dict.fromkeys(paths))
    states = {}
    with (
        ThreadPoolExecutor(num_workers) as pool,
        progress(len(paths), 'Decoding images') as done,
    ):
        found = pool.map(inspect_image, paths, chunksize=64)
        for path, state in zip(paths, found, strict=True):
            states[path] = state
            done(1)
    return states


def find_missing_images(paths: Iterable[str]) -> list[str]:
    """Find images that do not exist, without opening any.

    Args:
        paths (Iterable[str]): The files.

    Returns:
        list[str]: Those that do not exist, each once, in the order of
        ``paths``.
    """
    problems = find_unreachable_images(paths).items()
    return [path for path, problem in problems if problem in _ABSENT]


def find_unreachable_images(paths: Iterable[str]) -> dict[str, str]:
    """Find images that do not exist or cannot be reached, opening none.

    Each folder is listed once, so that a million images take seconds.
    Paths with a scheme (``s3://...``) are asked for one by one.

    Args:
        paths (Iterable[str]): The files.

    Returns:
        dict[str, str]: Problem by path, in the order of ``paths``.
    """
    folders: dict[str, dict[str, bool] | None] = {}
    unreachable = {}
    for path in dict.fromkeys(paths):
        if '://' in path:
            problem = _remote_problem(path)
        else:
            folder, name = os.path.split(path)
            if folder not in folders:
                folders[folder] = _entries(folder)
            problem = _problem(path, name, folders[folder])
        if problem:
            unreachable[path] = problem
    return unreachable


def _remote_problem(path: str) -> str:
    try:
        read_remote(path)
    except FileNotFoundError:
        return MISSING
    return ''


def _problem(path: str, name: str, entries: dict[str, bool] | None) -> str:
    if entries is None:
        return file_problem(path)
    if name not in entries:
        return MISSING
    return '' if entries[name] else file_problem(path)


def _entries(folder: str) -> dict[str, bool] | None:
    """Names in a folder, True for files; None if it cannot be listed."""
    try:
        with os.scandir(folder or '.') as entries:
            return {entry.name: _is_file(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError:
        return None


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a loop of links, or no permission to look
        return False
