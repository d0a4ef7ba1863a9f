"""Reading and writing files so that nothing is lost and errors name files."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = 'wb') -> Iterator[IO]:
    """Open a file for writing that appears whole or not at all.

    Args:
        path (str | PathLike): Final path. Missing parent folders are made.
        mode (str): ``'wb'`` or ``'w'`` (UTF-8). Defaults to ``'wb'``.

    Yields:
        IO: A handle on a temporary file in the same folder, moved onto
        ``path`` when the block ends without an exception.
    """
    path = Path(path)
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
        # mkstemp makes private files; give the usual permissions back.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


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
