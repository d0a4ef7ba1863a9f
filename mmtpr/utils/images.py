"""Reasons why an image cannot be read, told the same way everywhere."""

import errno
import os
import stat
from io import BytesIO

import mmcv
from mmengine import fileio
from PIL import Image

from .io import foreign_content

MISSING = 'missing'
FOLDER = 'a folder'
LOOP = 'a loop of links'
DENIED = 'permission denied'

#: Errors of a path. All others are of the machine (too many open files, no
#: memory, a disk that fails) and say nothing about the image.
_BY_ERRNO: dict[int | None, str] = {
    errno.ENOENT: MISSING,
    errno.ENOTDIR: MISSING,
    errno.ENAMETOOLONG: MISSING,
    errno.EISDIR: FOLDER,
    errno.ELOOP: LOOP,
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
}


def image_problem(path: str | os.PathLike) -> str:
    """Say why an image cannot be read.

    Args:
        path (str | PathLike): The file.

    Returns:
        str: ``''`` if it decodes; else what it is: ``'missing'`` (also a link
        to nothing), ``'a folder'``, ``'a loop of links'``, ``'permission
        denied'``, ``'not a file'``, ``'empty'``, ``'a web page'``, ``'a
        git-lfs pointer'``, ``'truncated'`` (decoders fill the rest with grey
        silently) or ``'does not decode'``.

    Raises:
        OSError: If the machine fails, and not the image.
    """
    try:
        problem = '' if '://' in str(path) else file_problem(path)
        content = b'' if problem else fileio.get(path)
    except OSError as error:
        return _of_path(error)
    return problem or _content_problem(content)


def file_problem(path: str | os.PathLike) -> str:
    """Say why there is no file to read, without opening any.

    Args:
        path (str | PathLike): A local path.

    Returns:
        str: As :func:`image_problem`; ``''`` for every file.

    Raises:
        OSError: If the machine fails, and not the path.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return _of_path(error)
    except ValueError:  # no path at all, such as one with a null byte
        return MISSING
    if stat.S_ISDIR(mode):
        return FOLDER
    return '' if stat.S_ISREG(mode) else 'not a file'


def _of_path(error: OSError) -> str:
    problem = _BY_ERRNO.get(error.errno)
    if problem is None and isinstance(error, FileNotFoundError):
        problem = MISSING  # of a remote storage, without a number
    if problem is None:
        raise error
    return problem


def _content_problem(content: bytes) -> str:
    if not content:
        return 'empty'
    if foreign := foreign_content(content):
        return foreign
    whole = _decodes_whole(content)
    try:
        decoded = mmcv.imfrombytes(content)
    except Exception:
        decoded = None
    if decoded is None:
        return 'truncated' if whole is False else 'does not decode'
    return 'truncated' if whole is False else ''


def _decodes_whole(content: bytes) -> bool | None:
    """Decode with Pillow, which minds missing ends; None: of no known kind."""
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
    except Image.UnidentifiedImageError:
        return None  # a format only OpenCV knows
    except Exception:
        return False
    return True
