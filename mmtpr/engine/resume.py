"""Choice of the checkpoint that a run resumes from."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

_NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')


def find_resume_checkpoint(work_dir: str | os.PathLike) -> str | None:
    """Find the last complete checkpoint of a run.

    It is the one that the file ``last_checkpoint`` names, also after the work
    dir was moved. If that file is missing, empty or names a file that is gone
    or cut off, as a kill at the wrong moment or a full disk may leave it, it
    is the highest-numbered complete ``epoch_*.pth`` or ``iter_*.pth``.

    Args:
        work_dir (str | PathLike): The work dir of the run.

    Returns:
        str | None: Path of the checkpoint, or None if there is none.
    """
    work_dir = Path(work_dir)
    named = _read(work_dir / 'last_checkpoint')
    if '://' in named:
        return named
    if named:
        for path in (Path(named), work_dir / Path(named).name):
            if _complete(path):
                return str(path)
    found = [p for p in work_dir.glob('*.pth') if _NUMBERED.fullmatch(p.name)]
    found.sort(key=_number, reverse=True)
    return next((str(p) for p in found if _complete(p)), None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8').strip()
    except FileNotFoundError:
        return ''


def _number(path: Path) -> int:
    match: Any = _NUMBERED.fullmatch(path.name)
    return int(match.group(2))


def _complete(path: Path) -> bool:
    """Check that a file of ``torch.save`` (a zip archive) has its end."""
    return path.is_file() and zipfile.is_zipfile(path)
