"""Results of a search as a table, json, csv, a figure or a page."""

import csv
import json
import os
import unicodedata
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mmtpr.structures.negatives import words_of
from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError
from mmtpr.visualization import draw_rankings, save_png
from mmtpr.visualization.result_page import render_page

from .gallery_searcher import SearchResult


def format_table(results: Sequence[SearchResult]) -> str:
    """Format results for a terminal.

    Args:
        results (Sequence[SearchResult]): One a query.

    Returns:
        str: A table a query: rank, score, id, path where the id does not
        tell it, and columns.
    """
    return '\n\n'.join(_table(result) for result in results)


def _table(result: SearchResult) -> str:
    head = _plain(words_of(_asked(result)))
    if result.reference is not None:
        head = f'{_plain("; ".join(_references(result)))}: {head}'
    if not len(result):
        return f'{head}\n  nothing found'
    lines = [['rank', 'score', 'id', 'path', *result.columns]]
    for row in result.rows():
        values = ['' if x is None else x for x in row['columns'].values()]
        place = [row['rank'], f'{row["score"]:.4f}', row['id'], row['path']]
        lines.append([_plain(value) for value in place + values])
    if all(
        path.replace(os.sep, '/').endswith(name)
        for name, path in zip(result.ids, result.paths, strict=True)
    ):
        lines = [[*line[:2], *line[3:]] for line in lines]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    text = [
        '  '.join(
            f'{" " * (width - _width(cell))}{cell}'
            if number < 2
            else f'{cell}{" " * (width - _width(cell))}'
            for number, (cell, width) in enumerate(
                zip(line, widths, strict=True)
            )
        ).rstrip()
        for line in lines
    ]
    note = _note(result)
    return '\n'.join([head, *text, *([note] if note else [])])


def _note(result: SearchResult) -> str:
    if result.proven is None:
        return ''
    return (
        f'{result.proven} of {len(result)} places are proven: a comparison '
        'with all images would show the same there.'
    )


def _plain(value: Any) -> str:
    """Text that cannot command the terminal."""
    return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    wide = (unicodedata.east_asian_width(c) in 'WF' for c in text)
    marks = sum(unicodedata.combining(c) > 0 for c in text)
    return len(text) + sum(wide) - marks


def write_results(
    results: Sequence[SearchResult], path: str | os.PathLike, about: str = ''
) -> None:
    """Write results; the file appears whole or not at all.

    Args:
        results (Sequence[SearchResult]): One a query.
        path (str | PathLike): A file ending in one of :data:`WRITERS`.
        about (str): A sentence for the page. Defaults to ''.

    Raises:
        LaunchError: If the ending is another, or the disk is full.
    """
    check_ending(path)
    WRITERS[Path(path).suffix.lower()](results, path, about)


def check_ending(path: str | os.PathLike) -> None:
    """Check that a file's ending tells how to write it.

    Args:
        path (str | PathLike): The file.

    Raises:
        LaunchError: If not.
    """
    if Path(path).suffix.lower() not in WRITERS:
        raise LaunchError(
            f'"{path}": the ending says what is written; choose from '
            f'{", ".join(WRITERS)}.'
        )


def _write_json(results: Sequence[SearchResult], path: Any, _: str) -> None:
    content = [
        dict(
            query=result.query,
            reference=result.reference,
            **_several(result),
            **result.negative,
            proven=result.proven,
            results=result.rows(),
        )
        for result in results
    ]
    with atomic_write(path, 'w') as file:
        json.dump(content, file, indent=1, default=_as_json)


def _asked(result: SearchResult) -> dict[str, Any]:
    return dict(caption=result.query, **result.negative)


def _references(result: SearchResult) -> list[str]:
    if result.references or result.reference is None:
        return result.references
    return [result.reference]


def _several(result: SearchResult) -> dict[str, list[str]]:
    several = len(result.references) > 1
    return dict(references=result.references) if several else {}


def _as_json(value: Any) -> str:
    if isinstance(value, date):  # and datetime
        return value.isoformat()
    raise TypeError(f'{value!r} has no form in json.')


def _write_csv(results: Sequence[SearchResult], path: Any, _: str) -> None:
    names = ['query', 'reference', 'rank', 'score', 'id', 'path']
    # Columns that were always there keep their places.
    asked = list(dict.fromkeys(n for found in results for n in found.negative))
    own = list(dict.fromkeys(n for found in results for n in found.columns))
    with atomic_write(path, 'w') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(names + asked + own)
        for result in results:
            # A path may have half a character, which is no text.
            path_bytes = '; '.join(_references(result)).encode(
                'utf-8', 'backslashreplace'
            )
            head = [result.query, path_bytes.decode()]
            for row in result.rows():
                values = [result.negative.get(name) for name in asked]
                values += [row['columns'].get(name) for name in own]
                writer.writerow(
                    head + [row[name] for name in names[2:]] + values
                )


def _write_png(results: Sequence[SearchResult], path: Any, _: str) -> None:
    longest = max(map(len, results))
    save_png(draw_rankings(to_rankings(results), max(longest, 1)), path)


def _write_html(
    results: Sequence[SearchResult], path: Any, about: str
) -> None:
    page = render_page(to_rankings(results), 'Search results', about)
    with atomic_write(path, 'w') as file:
        file.write(page)


def to_rankings(results: Sequence[SearchResult]) -> list[dict]:
    """Turn results into what figures and pages are drawn of.

    Args:
        results (Sequence[SearchResult]): One a query.

    Returns:
        list[dict]: See :func:`mmtpr.visualization.draw_rankings`, and
        ``name`` and ``columns`` of each image.
    """
    rankings = []
    for found in results:
        ranking = [
            dict(
                img_path=row['path'],
                score=row['score'],
                name=row['id'],
                columns=row['columns'],
            )
            for row in found.rows()
        ]
        query = dict(_asked(found), ranking=ranking)
        query['note'] = _note(found) if len(found) else 'Nothing found.'
        if found.reference is not None:
            query['img_path'] = found.reference
        rankings.append(query)
    return rankings


#: What writes the files of an ending.
WRITERS = {
    '.json': _write_json,
    '.csv': _write_csv,
    '.png': _write_png,
    '.html': _write_html,
}
