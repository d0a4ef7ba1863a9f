"""Files of queries and of paraphrases."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mmtpr.text.characters import is_blank
from mmtpr.text.negative_text import check_negative
from mmtpr.utils.warn import warn

from .queries import Query

_READ = ('caption', 'img_path', 'negative_text', 'negative_weight')
_ENDINGS = ('.txt', '.csv', '.jsonl')


def read_queries(path: str | os.PathLike) -> list[Query]:
    """Read a file of queries.

    ``.txt`` holds a sentence a line; ``.csv`` has a column ``caption``, and
    ``img_path`` for queries with a photo; ``.jsonl`` has a sentence a line,
    or an object of these names, ``img_path`` a path or a list of them.
    Relative paths start at the folder of the file. ``negative_text`` and
    ``negative_weight`` say what is not wanted.

    Args:
        path (str | PathLike): The file, in UTF-8.

    Returns:
        list[str | dict]: The queries, at least one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, naming the line.
    """
    queries: list[Query] = []
    unknown: set[str] = set()
    for line, record in _records(path):
        if isinstance(record, str):
            queries.append(record)
            continue
        unknown |= {*record} - {*_READ}
        caption, image = record.get('caption'), record.get('img_path')
        if not isinstance(caption, str) or is_blank(caption):
            raise ValueError(
                f'"{path}", line {line}: there is no sentence under "caption".'
            )
        is_csv = Path(path).suffix.lower() == '.csv'
        query = _negative(record, f'"{path}", line {line}', is_csv)
        if image:
            images = image if isinstance(image, list) else [image]
            if not all(isinstance(one, str) and one for one in images):
                raise ValueError(
                    f'"{path}", line {line}: "img_path" is {image!r}, no path.'
                )
            images = [x if '://' in x else _beside(path, x) for x in images]
            query['img_path'] = images if len(images) > 1 else images[0]
        queries.append(dict(query, caption=caption) if query else caption)
    if not queries:
        raise ValueError(f'The file of queries "{path}" holds none.')
    if unknown:
        names = ', '.join(sorted(map(str, unknown)))
        warn(f'Of "{path}" the fields {names} are not read.')
    return queries


def _negative(record: dict, where: str, is_csv: bool) -> dict:
    """What is not wanted; in a csv the weight is text, or ''."""
    names = ('negative_text', 'negative_weight')
    nothing = (None, '') if is_csv else (None,)  # '' is an empty cell
    found = {n: record[n] for n in names if record.get(n) not in nothing}
    text, weight = (found.get(name) for name in names)
    if isinstance(weight, str):
        with suppress(ValueError):  # what is no number is named below
            found['negative_weight'] = weight = float(weight)
    check_negative(text, weight, where)
    return found


def read_paraphrases(path: str | os.PathLike) -> list[str] | dict:
    """Read a file of paraphrases.

    ``.txt`` holds a sentence a line, all of one query; ``.csv`` has columns
    ``caption`` and ``paraphrase``; ``.jsonl`` has objects of these names,
    ``paraphrase`` a sentence or a list of them.

    Args:
        path (str | PathLike): The file, in UTF-8.

    Returns:
        list[str] | dict[str, list[str]]: Sentences, or lists by query.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, naming the line.
    """
    alone: list[str] = []
    named: dict[str, list[str]] = {}
    for line, record in _records(path):
        if isinstance(record, str):
            alone.append(record)
            continue
        caption, said = record.get('caption'), record.get('paraphrase')
        said = [said] if isinstance(said, str) else said
        if not isinstance(caption, str) or not isinstance(said, list):
            raise ValueError(
                f'"{path}", line {line}: a record has a "caption" and its '
                '"paraphrase".'
            )
        named.setdefault(caption, []).extend(said)
    if bool(alone) == bool(named):
        raise ValueError(
            f'The file of paraphrases "{path}" holds '
            f'{"both sentences and records" if alone else "none"}.'
        )
    return alone or named


def _records(path: str | os.PathLike) -> Iterator[tuple[int, str | dict]]:
    """Lines with what they hold: a sentence or values by name."""
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise ValueError(
            f'"{path}": a file of sentences ends in {", ".join(_ENDINGS)}.'
        )
    try:
        text = Path(path).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'"{path}" is not UTF-8 text (byte {error.start}). Save it as '
            'UTF-8.'
        ) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(f'There is no file "{path}".') from error
    # Not splitlines(): a sentence may hold a character that it splits at.
    lines = text.replace('\r\n', '\n').split('\n')
    if ending == '.csv':
        yield from _rows(path, lines)
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield (
                number,
                line.strip()
                if ending == '.txt'
                else _parsed(path, number, line),
            )


def _rows(
    path: str | os.PathLike, lines: list[str]
) -> Iterator[tuple[int, dict]]:
    reader = csv.DictReader(lines)
    names = reader.fieldnames or []
    if 'caption' not in names:
        raise ValueError(
            f'"{path}" has no column "caption"; it has '
            f'{", ".join(map(str, names)) or "none"}.'
        )
    for row in reader:
        if None in row:
            raise ValueError(
                f'"{path}", line {reader.line_num}: there are more fields '
                f'than the {len(names)} columns. Put a sentence with commas '
                'into double quotes.'
            )
        yield reader.line_num, row


def _parsed(path: str | os.PathLike, number: int, line: str) -> str | dict:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(
            f'"{path}", line {number} is no json: {error}.'
        ) from error
    if not isinstance(found, str | dict):
        raise ValueError(
            f'"{path}", line {number}: expected a sentence or an object, got '
            f'{line.strip()[:80]}.'
        )
    return found


def _beside(path: str | os.PathLike, image: str) -> str:
    return str(Path(path).parent / image)
