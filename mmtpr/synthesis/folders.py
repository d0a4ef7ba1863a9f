"""Folders of toy data beside the settings they came from."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmtpr.utils import atomic_folder, read_json


def write_once(
    out: str | os.PathLike,
    settings: Any,
    version: int,
    fill: Callable[[Path], None],
) -> bool:
    """Fill a folder and keep beside its content the settings it came from.

    Args:
        out (str | PathLike): Folder to be made. One with the same settings is
            left alone; one with other settings is an error.
        settings (Any): A dataclass.
        version (int): Of the files that the settings give.
        fill (Callable[[Path], None]): Writes into a folder beside ``out``,
            which is renamed at the end and removed on errors.

    Returns:
        bool: Whether anything was written.

    Raises:
        FileExistsError: If ``out`` exists and holds something else.
    """
    out = Path(out)
    wanted = json.loads(json.dumps(dict(asdict(settings), format=version)))
    if out.exists():
        _check_existing(out, wanted)
        return False
    with atomic_folder(out) as folder:
        fill(folder)
        write_json(folder / 'settings.json', wanted)
    return True


def _check_existing(out: Path, wanted: dict) -> None:
    path = out / 'settings.json'
    found = read_json(path) if path.is_file() else None
    if found == wanted:
        return
    keys = sorted(wanted) if found is None else sorted({*found, *wanted})
    differ = [
        k for k in keys if found is None or found.get(k) != wanted.get(k)
    ]
    what = 'is no toy data' if found is None else f'differs in {differ}'
    raise FileExistsError(
        f'"{out}" exists and {what}. Remove it or name another folder.'
    )


def write_json(path: Path, content: Any) -> None:
    """Write a json file, its folder too.

    Args:
        path (Path): The file.
        content (Any): What json can hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(content, file, indent=1)
