"""Reading files with errors that name them."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

#: What stands where a download went wrong, see :func:`foreign_content`.
POINTER, PAGE = 'a git-lfs pointer', 'a web page'
_OPEN = re.compile(r'[ \t\n\r]*\[[ \t\n\r]*')
_BETWEEN = re.compile(r'[ \t\n\r]*([,\]])[ \t\n\r]*')


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
    if os.path.isdir(path):
        raise FileNotFoundError(
            f'The {what} "{path}" is a folder; name the file in it.{see}'
        )
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f'The {what} "{path}" does not exist.{see}'
        ) from None
    try:
        return json.loads(content.decode('utf-8-sig'))
    except json.JSONDecodeError as error:
        raise ValueError(
            f'The {what} "{path}" {_why_no_json(content, error)}{see}'
        ) from error
    except RecursionError:
        raise ValueError(
            f'The {what} "{path}" has lists in lists deeper than json is '
            f'read.{see}'
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f'The {what} "{path}" is {_encoding(content, error)}{see}'
        ) from error


def iter_json_list(path: str | os.PathLike) -> Iterator[Any]:
    """Read a json list item by item.

    Memory holds the text and one item, where :func:`read_json` makes all.

    Args:
        path (str | PathLike): The file.

    Yields:
        Any: The items.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no list, or from the item on that is not valid;
            :func:`read_json` says why.
    """
    with open(path, encoding='utf-8-sig', newline='') as file:
        text = file.read()
    decode = json.JSONDecoder().raw_decode
    mark = _OPEN.match(text)
    while mark is not None:
        item, place = decode(text, mark.end())
        yield item
        mark = _BETWEEN.match(text, place)
        if mark is not None and mark[1] == ']':
            if mark.end() == len(text):
                return
            break
    raise ValueError(f'"{path}" is not one json list with items.')


def _why_no_json(content: bytes, error: json.JSONDecodeError) -> str:
    """What is wrong with a text, and what cures it."""
    if foreign := foreign_content(content):
        return f'is {foreign}, not json: get it again.'
    if error.msg == 'Extra data' and _is_record(content.split(b'\n', 1)[0]):
        return (
            'holds a record a line (JSON Lines): make it one json list, with '
            'brackets around and commas between.'
        )
    place = f'at line {error.lineno}, column {error.colno}'
    before = error.doc[: error.pos + 1].rstrip()
    comma = re.search(r',\s*[\]}]?$', before)
    after = re.match(r'[,\s]*[\]}]', error.doc[error.pos :])
    if comma and after:
        return (
            f'is not valid json: there is a comma before the closing bracket '
            f'{place}. Remove the comma.'
        )
    ends = not error.doc[error.pos :].strip()
    if ends or error.msg.startswith('Unterminated string'):
        cure = 'The file may be cut off; get it again.'
    else:
        cure = 'Correct it there.'
    return f'is not valid json: {error.msg} {place}. {cure}'


def _is_record(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _encoding(content: bytes, error: UnicodeDecodeError) -> str:
    """Name the encoding of a text that is not UTF-8, as far as it shows."""
    cure = 'Save it as UTF-8.'
    if content[:2] in (b'\xff\xfe', b'\xfe\xff'):
        return f'UTF-16 text. {cure}'
    try:
        json.loads(content.decode('gb18030'))
    except ValueError:
        return f'not UTF-8 text (byte {error.start}). {cure}'
    return f'text in GBK, or another encoding than UTF-8. {cure}'
