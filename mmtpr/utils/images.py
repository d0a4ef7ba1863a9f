"""Reasons why an image cannot be read, told the same way everywhere."""

import errno
import os
import stat
from io import BytesIO
from typing import NamedTuple
from urllib.error import HTTPError, URLError

import mmcv
import numpy as np
from mmengine import fileio
from PIL import Image

from .io import foreign_content

MISSING = 'missing'
FOLDER = 'a folder'
LOOP = 'a loop of links'
DENIED = 'permission denied'

#: Below these an image shows nothing: pixels of a side, levels of 256.
_LEAST_SIDE, _LEAST_STD = 8, 2.0
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


class ImageState(NamedTuple):
    """What was seen of an image.

    Attributes:
        problem (str): Why it cannot be read, see :func:`image_problem`.
        shows_nothing (bool): Whether it is smaller than 8 pixels on a side or
            of one colour, as near as eyes can tell.
    """

    problem: str
    shows_nothing: bool = False


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
    return _decode(path)[0]


def inspect_image(path: str | os.PathLike) -> ImageState:
    """Decode an image and say what is wrong with it.

    Args:
        path (str | PathLike): The file.

    Returns:
        ImageState: Its state.

    Raises:
        OSError: If the machine or the network fails, and not the image.
        ValueError: If nothing here reads paths of this scheme.
    """
    problem, decoded = _decode(path)
    if decoded is None:
        return ImageState(problem)
    tiny = min(decoded.shape[:2]) < _LEAST_SIDE
    flat = decoded.astype(np.float32).std(axis=(0, 1)).max() < _LEAST_STD
    return ImageState('', bool(tiny or flat))


def read_remote(path: str) -> bytes:
    """Read a file whose path has a scheme.

    Args:
        path (str): Such as ``'http://host/a.jpg'`` or ``'s3://bucket/a.jpg'``.

    Returns:
        bytes: The content.

    Raises:
        FileNotFoundError: If the host has no such file.
        ConnectionError: If it cannot be downloaded.
        ValueError: If nothing here reads paths of this scheme.
    """
    try:
        backend = fileio.get_file_backend(path)
    except KeyError:
        scheme = os.path.basename(path.partition('://')[0])
        raise ValueError(
            f'"{path}": nothing reads paths with "{scheme}://". Give paths of '
            'files, or register a file backend of mmengine for it.'
        ) from None
    except ImportError as error:
        raise ValueError(
            f'"{path}" cannot be read: {str(error).rstrip(".")}.'
        ) from error
    try:
        return backend.get(path)
    except HTTPError as error:
        if error.code in (404, 410):
            raise FileNotFoundError(f'"{path}" does not exist.') from error
        raise _no_download(path, error) from error
    except (URLError, TimeoutError, ConnectionError) as error:
        raise _no_download(path, error) from error


def _no_download(path: str, error: OSError) -> ConnectionError:
    why = str(getattr(error, 'reason', error)).rstrip('.')
    return ConnectionError(f'"{path}" cannot be downloaded: {why}.')


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


def missing_cure(path: str, usual: str) -> str:
    """Say what to do about an image that does not exist.

    Args:
        path (str): The file.
        usual (str): What to do where the path itself tells nothing.

    Returns:
        str: One or two sentences.
    """
    if os.sep == '/' and '\\' in path:
        plain = path.replace('\\', '/')
        found = f'; "{plain}" exists' if os.path.exists(plain) else ''
        return f'The path has backslashes: write it with "/"{found}.'
    if os.path.isabs(path) and '://' not in path:
        there = os.path.dirname(path)
        while not os.path.exists(there):
            there = os.path.dirname(there)
        if there == os.path.dirname(there):  # the root of the disk
            return (
                f'Nothing of its path is on this machine. {usual}; paths in '
                'annotations should count from the image folder.'
            )
    return f'{usual}.'


def _of_path(error: OSError) -> str:
    problem = _BY_ERRNO.get(error.errno)
    if problem is None and isinstance(error, FileNotFoundError):
        problem = MISSING  # of a remote storage, without a number
    if problem is None:
        raise error
    return problem


def _decode(path: str | os.PathLike) -> tuple[str, np.ndarray | None]:
    """Decode an image, (H, W, 3), or say why that cannot be."""
    try:
        remote = '://' in str(path)
        problem = '' if remote else file_problem(path)
        get = read_remote if remote else fileio.get
        content = b'' if problem else get(str(path))
    except OSError as error:
        return _of_path(error), None
    return (problem, None) if problem else _decode_content(content)


def _decode_content(content: bytes) -> tuple[str, np.ndarray | None]:
    if not content:
        return 'empty', None
    if foreign := foreign_content(content):
        return foreign, None
    whole = _decodes_whole(content)
    if whole is False:  # OpenCV fills what is missing
        return 'truncated', None
    try:
        decoded = mmcv.imfrombytes(content)
    except Exception:
        decoded = None
    return ('does not decode', None) if decoded is None else ('', decoded)


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
