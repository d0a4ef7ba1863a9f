"""Files of arrays about the items of a dataset, and what they say of it.

Scores, fields of judges and moved captions lie in such files: ``.npz``, never
pickled, with a description as json under ``meta`` that holds the version of
the format and, as ``data``, which dataset it is about.
"""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtpr.structures.pairs import dataset_name
from mmtpr.utils import atomic_write


def write_arrays(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Write arrays to a ``.npz`` file that appears whole or not at all.

    Args:
        path (str | PathLike): The file.
        **arrays (np.ndarray): Arrays by name, none of dtype object.
    """
    with atomic_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(
    path: str | os.PathLike, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Read arrays from a ``.npz`` file without unpickling.

    Args:
        path (str | PathLike): The file.
        names (Sequence[str]): Arrays that must be there.

    Returns:
        dict[str, np.ndarray]: The arrays.

    Raises:
        ValueError: If the file is damaged or lacks an array, saying why.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (KeyError, ValueError, OSError, EOFError, TypeError) as error:
        raise ValueError(str(error)) from error
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class ResultFile:
    """A kind of these files.

    Attributes:
        what (str): What it holds, in the plural.
        version (int): Latest version that is read.
        cure (str): A sentence that says how one is made.
        unit (str): What the dataset has many of. Defaults to ``'pairs'``.
        facts (Mapping): Further parts of the description that are read: part
            -> name -> type.
    """

    what: str
    version: int
    cure: str
    unit: str = 'pairs'
    facts: Mapping[str, Mapping[str, type]] | None = None

    def describe(
        self, path: str | os.PathLike, names: Sequence[str] = ()
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Read the description of a file, and arrays.

        Args:
            path (str | PathLike): The file.
            names (Sequence[str]): The arrays. Defaults to none.

        Returns:
            tuple[dict, dict[str, np.ndarray]]: Description, its ``data`` with
            ``fingerprint`` and ``length``, and the arrays by name.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged, something else, or of a later
                version.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f'"{path}" does not exist. {self.cure}')
        arrays = self.arrays(path, (*names, 'meta'))
        try:
            meta = json.loads(str(arrays.pop('meta')))
        except json.JSONDecodeError as error:
            raise self.damaged(path, error) from error
        if why := self._wrong(meta):
            raise self.damaged(path, why)
        if meta['version'] > self.version:
            raise ValueError(
                f'"{path}" has version {meta["version"]}; this mmtpr reads '
                f'{self.what} up to version {self.version}. Update mmtpr.'
            )
        return meta, arrays

    def arrays(
        self, path: str | os.PathLike, names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Read arrays, see :func:`read_arrays`.

        Args:
            path (str | PathLike): The file.
            names (Sequence[str]): Arrays that must be there.

        Returns:
            dict[str, np.ndarray]: The arrays.

        Raises:
            ValueError: If it is damaged, naming the file.
        """
        try:
            return read_arrays(path, names)
        except ValueError as error:
            raise self.damaged(path, error) from error

    def damaged(
        self, path: str | os.PathLike, why: str | Exception
    ) -> ValueError:
        """Make the error of a file that cannot be used.

        Args:
            path (str | PathLike): The file.
            why (str | Exception): What is wrong.

        Returns:
            ValueError: The error.
        """
        return ValueError(
            f'"{path}" is not a file of {self.what} or is damaged '
            f'({str(why).rstrip(".")}). {self.cure}'
        )

    def other_data(
        self,
        source: Any,
        theirs: Mapping[str, Any],
        length: int,
        dataset: Any,
        ours: str,
    ) -> ValueError:
        """Make the error of a file that is about another dataset.

        Args:
            source (Any): The file; its text names it in the message.
            theirs (Mapping[str, Any]): ``data`` of its description.
            length (int): Number of its items.
            dataset (Any): The dataset at hand.
            ours (str): Its fingerprint, or '' where its length differs.

        Returns:
            ValueError: The error.
        """
        here = f', fingerprint {ours[:12]}' if ours else ''
        return ValueError(
            f'The {self.what} {source} belong to other data: they were made '
            f'from {theirs.get("name", "data")} with {length} '
            f'{self.unit} (fingerprint {theirs["fingerprint"][:12]}), but the '
            f'dataset here is {dataset_name(dataset)} with {len(dataset)} '
            f'{self.unit}{here}. Name those of this dataset. {self.cure}'
        )

    def _wrong(self, meta: Any) -> str:
        """Say what of a description is missing or of another type."""
        if not isinstance(meta, dict):
            return 'its description is no dict'
        data = dict(fingerprint=str, length=int)
        facts = {'data': data, **(self.facts or {})}
        missing = [key for key in ('version', *facts) if key not in meta]
        if missing:
            return f'its description lacks {", ".join(missing)}'
        if type(meta['version']) is not int:
            return f'version={meta["version"]!r} of its description is no int'
        for part, kinds in facts.items():
            inner = meta[part] if type(meta[part]) is dict else {}
            for fact, kind in kinds.items():
                value = inner.get(fact)
                if type(value) is not kind:
                    return (
                        f'{part}.{fact} of its description is {value!r}, no '
                        f'{kind.__name__}'
                    )
        return ''
