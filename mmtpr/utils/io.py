"""Reading files with errors that name them."""

import json
import os
from typing import Any

#: What stands where a download went wrong, see :func:`foreign_content`.
POINTER, PAGE = 'a git-lfs pointer', 'a web page'


def foreign_content(content: bytes) -> str:
    """Tell what is often found in place of a file of data.

    Args:
        content (bytes): The file, or its first 256 bytes.

    Returns:
        str: :data:`POINTER`, :data:`PAGE`, or '' for anything else.
    """
    start = content[:256].lstrip().lower()
    if start.startswith(b'version https://git-lfs'):
        return POINTER
    return PAGE if start.startswith((b'<!doctype', b'<html')) else ''


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
