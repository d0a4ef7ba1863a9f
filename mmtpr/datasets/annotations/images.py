"""Finding pictures that are missing or do not decode."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import mmcv
from mmengine import fileio
from PIL import Image


def image_problem(path: str) -> str:
    """Say what is wrong with a picture.

    Args:
        path (str): The file.

    Returns:
        str: ``''`` if it decodes, else ``'missing'``, ``'does not decode'``
        or ``'truncated'`` (decoders fill the rest with grey silently).
    """
    try:
        content = fileio.get(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return 'missing'
    try:
        if not content or mmcv.imfrombytes(content) is None:
            return 'does not decode'
    except Exception:
        return 'does not decode'
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
    except Image.UnidentifiedImageError:
        return ''  # a format only OpenCV knows
    except Exception:
        return 'truncated'
    return ''


def find_bad_images(
    paths: Iterable[str], num_workers: int = 8
) -> dict[str, str]:
    """Decode pictures in threads and report the bad ones.

    Args:
        paths (Iterable[str]): The files.
        num_workers (int): Threads. Defaults to 8.

    Returns:
        dict[str, str]: Problem by path, in the order of ``paths``.
    """
    paths = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(num_workers) as pool:
        problems = pool.map(image_problem, paths, chunksize=64)
        found = zip(paths, problems, strict=True)
        return {path: problem for path, problem in found if problem}


def find_missing_images(paths: Iterable[str]) -> list[str]:
    """Find pictures that do not exist, without opening any.

    Each folder is listed once, so that a million pictures take seconds.
    Paths with a scheme (``s3://...``) are asked for one by one.

    Args:
        paths (Iterable[str]): The files.

    Returns:
        list[str]: Those that do not exist, each once, in the order of
        ``paths``.
    """
    folders: dict[str, set[str]] = {}
    missing = []
    for path in dict.fromkeys(paths):
        if '://' in path:
            found = fileio.exists(path)
        else:
            folder, name = os.path.split(path)
            if folder not in folders:
                folders[folder] = _file_names(folder)
            found = name in folders[folder]
        if not found:
            missing.append(path)
    return missing


def _file_names(folder: str) -> set[str]:
    try:
        with os.scandir(folder or '.') as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
