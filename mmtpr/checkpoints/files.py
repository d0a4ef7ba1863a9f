"""Reading files of weights so that nothing in them runs, with clear errors."""

import errno
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from mmtpr.utils.io import PAGE, POINTER, foreign_content

#: What torch.load ends with where a file is damaged.
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, LookupError),
    *(AttributeError, AssertionError, TypeError, ValueError, struct.error),
    OverflowError,
)
#: What torch says of a machine that cannot hold the file.
_MACHINE = re.compile(r'allocat|out of memory|deserialize object on')
#: A class or function in a file, as torch's message names it.
_BLOCKED = re.compile(
    r'(?i:unsupported (?:global:? )+|unsupported class )([\w.]+)'
)


def load_weights(
    path: str | os.PathLike, map_location: str = 'cpu', mmap: bool = False
) -> Any:
    """Load a torch file with ``weights_only=True``.

    Args:
        path (str | PathLike): The file.
        map_location (str): Passed to ``torch.load``. Defaults to ``'cpu'``.
        mmap (bool): Whether tensors stay in the file and are read when they
            are used. Defaults to False.

    Returns:
        Any: The content, usually a dict.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or holds more than tensors and
            plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'The checkpoint "{path}" does not exist.')
    try:
        return torch.load(
            os.fspath(path),  # only a name can be mapped
            map_location=map_location,
            weights_only=True,
            mmap=mmap,
        )
    except OSError as error:
        # Of a small file that is cut torch seeks before its start.
        if error.filename is None and error.errno == errno.EINVAL:
            raise ValueError(damaged(path, EOFError())) from error
        raise ValueError(
            f'The file "{path}" cannot be read: {error.strerror or error}.'
        ) from error
    except _UNREADABLE as error:
        if _MACHINE.search(str(error)):
            raise
        raise ValueError(_why_unreadable(path, error)) from error


def _why_unreadable(path: str | os.PathLike, error: Exception) -> str:
    """One message; torch's own advises to run what the file holds."""
    blocked = _BLOCKED.search(str(error))
    if blocked:
        return (
            f'The checkpoint "{path}" cannot be loaded safely '
            f'(weights_only=True): it holds {blocked[1]}, and not only '
            'tensors and plain values. Load it where it was made, and save '
            'its state dict alone.'
        )
    return damaged(path, error)


def damaged(path: str | os.PathLike, error: Exception) -> str:
    """Say that a file of weights is none, and what it looks like.

    Args:
        path (str | PathLike): The file.
        error (Exception): What reading it ended with.

    Returns:
        str: The message.
    """
    with open(path, 'rb') as file:
        start = file.read(256)
    size = os.path.getsize(path)
    foreign = foreign_content(start)
    if foreign == POINTER:
        what = 'it is a pointer of git-lfs; "git lfs pull" gets the file'
    elif foreign == PAGE or start.lstrip().lower().startswith(b'<?xml'):
        what = 'it is a web page; the download went wrong'
    elif isinstance(error, RuntimeError) and 'weights_only' not in str(error):
        what = (str(error).strip().splitlines() or ['no reason given'])[0]
    else:
        what = 'its content is not what torch.save writes'
    return (
        f'The file "{path}" ({size:,} bytes) is damaged or no checkpoint: '
        f'{what.rstrip(".")}. Get it again.'
    )


def read_weight_file(
    path: str | os.PathLike, map_location: str = 'cpu'
) -> Any:
    """Read a checkpoint, a safetensors file or a TorchScript archive.

    Args:
        path (str | PathLike): The file.
        map_location (str): Passed to ``torch.load``. Defaults to ``'cpu'``.

    Returns:
        Any: The content, usually a dict; of an archive, its state dict.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds more than tensors and plain
            values.
    """
    if is_torchscript(path):
        try:
            return torch.jit.load(path, 'cpu').state_dict()
        except RuntimeError as error:
            raise ValueError(damaged(path, error)) from error
    if not (str(path).endswith('.safetensors') and os.path.isfile(path)):
        return load_weights(path, map_location)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(damaged(path, RuntimeError(error))) from error


def is_torchscript(path: str | os.PathLike) -> bool:
    """Tell a TorchScript archive, as OpenAI publishes them.

    Args:
        path (str | PathLike): The file.

    Returns:
        bool: True if it is one.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return any(name.endswith('/constants.pkl') for name in names)
