"""Options that tools share, and the check of the files that they write."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import DictAction

from .errors import LaunchError


def add_config_options(
    parser: argparse.ArgumentParser,
    name: str = '--cfg-options',
    what: str = 'the config',
    example: str = '',
) -> None:
    """Add the option to override settings of a config.

    Args:
        parser (ArgumentParser): Changed in place.
        name (str): Name of the option. Defaults to ``'--cfg-options'``.
        what (str): Whose settings. Defaults to ``'the config'``.
        example (str): What one may look like. Defaults to ''.
    """
    parser.add_argument(
        name,
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help=f'override settings of {what}'
        + (f', e.g. {example}' if example else ''),
    )
    if name == '--cfg-options':
        add_debug(parser)


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add the option to see where an error comes from.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show the traceback of every error',
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the option to replace what is there.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the output if it exists',
    )


def add_allow_partial(parser: argparse.ArgumentParser) -> None:
    """Add the option to go on without weights that were trained.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='go on with a checkpoint that lacks weights that were trained '
        'with it, such as adapters without the norms beside them',
    )


def check_output(
    path: str | os.PathLike,
    overwrite: bool,
    sources: Iterable[str | os.PathLike | None] = (),
) -> None:
    """Check that a file may be written, before the work is done.

    Args:
        path (str | PathLike): The file.
        overwrite (bool): Whether an existing one may be replaced.
        sources (Iterable[str | PathLike | None]): Files that the tool reads,
            which are never replaced.

    Raises:
        LaunchError: If it exists and may not be replaced, is read as well, or
            is a folder.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise LaunchError(f'"{path}" is a folder; name a file to write.')
    for source in sources:
        if source and os.path.exists(source) and path.samefile(source):
            raise LaunchError(
                f'"{path}" is read and would be written over; name another '
                'file to write.'
            )
    if not overwrite:
        raise LaunchError(f'"{path}" exists already; --overwrite replaces it.')
