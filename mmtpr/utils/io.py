"""Reading files with errors that name them."""

import json
import os
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import torch

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


def read_json(
    path: str | os.PathLike, what: str = 'json file', guide: str = ''
) -> Any:
    """Read a json file with errors that name the file and the position.

    Args:
        path (str | PathLike): The file.
        what (str): What the file is, for the message.
        guide (str): Page of the documentation that explains the file.

    Returns:
        Any: The parsed content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the content is not valid json or not UTF-8.
    """
    see = f' See {guide}.' if guide else ''
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise FileNotFoundError(
            f'The {what} "{path}" does not exist. Check data_root and '
            f'ann_file in the config.{see}'
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f'The {what} "{path}" is not valid json: {error.msg} at line '
            f'{error.lineno}, column {error.colno}. The file may be cut '
            f'off; get it again.{see}'
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f'The {what} "{path}" is not UTF-8 text (byte {error.start}).{see}'
        ) from error


def load_weights(path: str | os.PathLike, map_location: str = 'cpu') -> Any:
    """Load a torch file with ``weights_only=True``.

    Args:
        path (str | PathLike): The file.
        map_location (str): Passed to ``torch.load``. Defaults to ``'cpu'``.

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
        return torch.load(path, map_location=map_location, weights_only=True)
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
        start = file.read(256).lstrip().lower()
    size = os.path.getsize(path)
    if start.startswith(b'version https://git-lfs'):
        what = 'it is a pointer of git-lfs; "git lfs pull" gets the file'
    elif start.startswith((b'<!doctype', b'<html', b'<?xml')):
        what = 'it is a web page; the download went wrong'
    elif isinstance(error, RuntimeError) and 'weights_only' not in str(error):
        what = (str(error).strip().splitlines() or ['no reason given'])[0]
    else:
        what = 'its content is not what torch.save writes'
    return (
        f'The file "{path}" ({size:,} bytes) is damaged or no checkpoint: '
        f'{what.rstrip(".")}. Get it again.'
    )
