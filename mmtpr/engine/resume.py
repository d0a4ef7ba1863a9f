"""Choice of the checkpoint that a run resumes from."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.warn import warn

_NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')


def find_resume_checkpoint(work_dir: str | os.PathLike) -> str | None:
    """Find the last complete checkpoint of a run.

    It is the one that the file ``last_checkpoint`` names, also after the work
    dir was moved. If that file is missing, empty or names a file that is gone
    or cut off, as a kill at the wrong moment or a full disk may leave it, it
    is the highest-numbered complete ``epoch_*.pth`` or ``iter_*.pth``, and a
    WARNING says so.

    Args:
        work_dir (str | PathLike): The work dir of the run.

    Returns:
        str | None: Path of the checkpoint, or None if there is none, after a
        WARNING.

    Raises:
        LaunchError: If there are checkpoints and none of them is whole.
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
    whole = next((str(p) for p in found if _complete(p)), None)
    if whole is None:
        _nothing_whole(work_dir, named, [p.name for p in found])
    else:
        warn(
            f'--resume: {_last(work_dir, named)}; "{whole}" is the newest '
            'whole checkpoint there, training goes on from it.'
        )
    return whole


def warn_of_former_run(work_dir: str | os.PathLike) -> None:
    """Say what a start from the beginning may replace.

    Args:
        work_dir (str | PathLike): The work dir of the run.
    """
    found = sorted(path.name for path in Path(work_dir).glob('*.pth'))
    if found:
        warn(
            f'"{work_dir}" has {len(found)} checkpoints of an earlier run '
            f'({", ".join(found[:3])}{", ..." if len(found) > 3 else ""}): '
            'training starts from the beginning and may replace them. '
            '--resume goes on from the last, --work-dir names another place.'
        )


def _nothing_whole(work_dir: Path, named: str, names: list[str]) -> None:
    """Warn of a start from the beginning, or stop where it may do harm."""
    if named or names:
        listed = ', '.join(names[:3]) or named
        raise LaunchError(
            f'--resume: no checkpoint in "{work_dir}" is whole ({listed}). '
            'Name one with --resume CHECKPOINT, or train in another work dir.'
        )
    best = [p.name for p in work_dir.glob('best_*.pth')]
    if best:
        raise LaunchError(
            f'--resume: "{work_dir}" has {best[0]}, but no epoch_*.pth or '
            'iter_*.pth to go on from, and a new start may replace it. Name '
            'it with --resume to go on from it, or train in another work dir.'
        )
    warn(
        f'--resume: there is no checkpoint in "{work_dir}" (last_checkpoint, '
        'epoch_*.pth, iter_*.pth): training starts from the beginning.'
    )


def _last(work_dir: Path, named: str) -> str:
    file = f'"{work_dir / "last_checkpoint"}"'
    if not named:
        return f'{file} is missing or empty'
    return f'{file} names "{named}", which is gone or damaged'


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8', errors='replace').strip()
    except OSError:
        return ''


def _number(path: Path) -> int:
    match: Any = _NUMBERED.fullmatch(path.name)
    return int(match.group(2))


def _complete(path: Path) -> bool:
    """Check that a file of ``torch.save`` (a zip archive) has its end."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except (OSError, ValueError):  # no name that a disk can have
        return False
