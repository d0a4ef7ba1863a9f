"""Columns that a user brings for the images of a folder."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtpr.gallery.columns import arrow, make_columns
from mmtpr.utils.lazy import require
from mmtpr.utils.warn import warn

from .image_facts import FACTS

#: Column that says which image a row is of.
KEY = 'path'
MISSING_ROWS = ('error', 'null')
_NAMED = 5


class ColumnTable:
    """Values of columns, a row an image.

    Args:
        columns (Mapping[str, Sequence]): Values by name, N each, and ``path``
            among them: paths in the folder of images, or absolute ones.
        name (str): Name for messages. Defaults to ``'the table'``.

    Raises:
        ValueError: If there are no paths, or one is there twice.
    """

    def __init__(
        self, columns: Mapping[str, Sequence], name: str = 'the table'
    ) -> None:
        self.name = name
        if KEY not in columns:
            raise ValueError(
                f'{name} has no column "{KEY}"; it has '
                f'{", ".join(map(str, columns)) or "none"}.'
            )
        self.paths = list(columns[KEY])
        self.columns = {k: v for k, v in columns.items() if k != KEY}
        if not self.columns:
            raise ValueError(f'{name} has no column but "{KEY}".')
        if used := [x for x in self.columns if x in FACTS]:
            raise ValueError(
                f'{name} has a column "{used[0]}", which an update writes '
                'itself: name it otherwise.'
            )
        for row, path in enumerate(self.paths, 1):
            if not isinstance(path, str) or not path:
                raise ValueError(
                    f'Row {row} of {name} has no path, but {path!r}.'
                )

    @classmethod
    def read(cls, path: str | os.PathLike) -> 'ColumnTable':
        """Read a table with a column ``path``.

        Args:
            path (str | PathLike): A ``.csv`` (UTF-8) or ``.parquet``. An
                empty cell is a missing value.

        Returns:
            ColumnTable: The table.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read.
        """
        pa, ending = arrow(), Path(path).suffix.lower()
        if ending not in ('.csv', '.parquet'):
            raise ValueError(
                f'"{path}": a table of columns ends in .csv or .parquet.'
            )
        if not Path(path).is_file():
            raise FileNotFoundError(f'There is no table "{path}".')
        try:
            read = _read_csv if ending == '.csv' else pa.parquet.read_table
            table = read(os.fspath(path))
        except (pa.ArrowException, ValueError, OSError) as error:
            why = str(error).splitlines()[0].rstrip('.')
            raise ValueError(
                f'The table "{path}" cannot be read: {why}.'
            ) from error
        names = table.column_names
        if len(set(names)) != len(names):
            again = next(x for x in names if names.count(x) > 1)
            raise ValueError(f'"{path}" has two columns "{again}".')
        values = {name: table.column(name).to_pylist() for name in names}
        return cls(values, f'"{path}"')

    def values(self, known: Mapping[str, str]) -> dict[str, list]:
        """Give the values as a store gives them back.

        Args:
            known (Mapping[str, str]): Kinds of the columns of the store.

        Returns:
            dict[str, list]: N values by name.

        Raises:
            ValueError: If a column holds mixed values, or another kind than
                in the store.
        """
        arrays, _ = make_columns(self.columns, len(self.paths), known)
        if empty := [name for name in self.columns if name not in arrays]:
            warn(
                f'The columns {", ".join(empty)} of {self.name} have no value '
                'at all and are left out.'
            )
        return {name: array.to_pylist() for name, array in arrays.items()}

    def match(
        self, root: Path, images: Collection[str], missing_rows: str
    ) -> dict[str, int]:
        """Find the row of each image; what does not match is told.

        Args:
            root (Path): The folder of images.
            images (Collection[str]): Paths in it.
            missing_rows (str): What an image without a row means, ``'error'``
                or ``'null'``.

        Returns:
            dict[str, int]: Rows by image.

        Raises:
            ValueError: If images have no row and that is an error, or one has
                two.
        """
        if missing_rows not in MISSING_ROWS:
            raise ValueError(
                f'missing_rows is one of {", ".join(MISSING_ROWS)}, got '
                f'{missing_rows!r}.'
            )
        rows: dict[str, int] = {}
        for row, path in enumerate(self.paths):
            name = _inside(root, path)
            if name in rows:
                raise ValueError(
                    f'{self.name} has two rows of the image "{name}", '
                    f'{rows[name] + 1} and {row + 1}.'
                )
            rows[name] = row
        if missing := [name for name in images if name not in rows]:
            told = (
                f'{len(missing)} of {len(images)} images have no row in '
                f'{self.name}: {_some(missing)}.'
            )
            if missing_rows == 'error':
                raise ValueError(
                    f'{told} Add the rows, or go on with '
                    '--missing-rows null (missing_rows="null"): no filter on '
                    'these columns finds new images without values.'
                )
            warn(f'{told} They keep the values that they have, if any.')
        if absent := [name for name in rows if name not in images]:
            warn(
                f'{len(absent)} of {len(rows)} rows of {self.name} are of no '
                f'image in "{root}" and are not used: {_some(absent)}.'
            )
        return {name: row for name, row in rows.items() if name in images}


def _read_csv(path: str) -> Any:
    reader = require('pyarrow.csv', 'search', 'A table of columns')
    options = reader.ConvertOptions(
        column_types={KEY: arrow().string()},
        # An empty cell is no text, nor is it a path.
        strings_can_be_null=True,
        null_values=[''],
    )
    return reader.read_csv(path, convert_options=options)


def _inside(root: Path, path: str) -> str:
    """The path in a folder, as ids are written."""
    if os.path.isabs(path):
        path = os.path.relpath(path, root)
    return os.path.normpath(path).replace(os.sep, '/')


def _some(names: Sequence[str]) -> str:
    told = ', '.join(f'"{name}"' for name in names[:_NAMED])
    more = len(names) - _NAMED
    return f'{told} and {more} more' if more > 0 else told
