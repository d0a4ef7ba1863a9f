"""Configs of the data engine."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtpr.utils.config_file import read_config
from mmtpr.utils.config_variables import unread_names
from mmtpr.utils.errors import LaunchError

from .stage_folder import StageFolder

T = TypeVar('T')

#: What a config may hold: a part for each stage, and its licences.
PARTS = ('write', 'render', 'judges', 'assemble', 'licences')


def load_engine_config(
    path: str | os.PathLike,
    options: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> Config:
    """Read a config of the data engine.

    Args:
        path (str | PathLike): The file.
        options (Mapping[str, Any], optional): Of ``--cfg-options``. Defaults
            to None.
        root (Path, optional): Folder in which the file is looked for as well.
            Defaults to None.

    Returns:
        Config: The config.

    Raises:
        LaunchError: If it cannot be read, or has a part that no stage reads.
    """
    given = dict(options) if options else None
    cfg = read_config(str(path), given, root, parts=PARTS)
    init_default_scope('mmtpr')
    unknown = [name for name in unread_names(cfg) if name not in PARTS]
    if unknown:
        raise LaunchError(
            f'"{path}" has "{unknown[0]}", which no stage reads; the parts '
            f'are {", ".join(PARTS)}.'
        )
    return cfg


def part_of(cfg: Config, name: str) -> dict[str, Any]:
    """Take the part of a stage.

    Args:
        cfg (Config): The config.
        name (str): One of :data:`PARTS`.

    Returns:
        dict[str, Any]: The part.

    Raises:
        LaunchError: If there is none.
    """
    if not cfg.get(name):
        raise LaunchError(f'The config has no part "{name}".')
    return dict(cfg[name])


def build_part(
    kind: Callable[..., T], part: Mapping[str, Any], name: str, **more: Any
) -> T:
    """Build what a part describes.

    Args:
        kind (Callable[..., T]): Its class.
        part (Mapping[str, Any]): Its arguments.
        name (str): Name of the part.
        **more: Further arguments, such as the stage before.

    Returns:
        T: The stage.

    Raises:
        LaunchError: If an argument is unknown or missing.
    """
    try:
        return kind(**more, **part)
    except TypeError as error:
        told = str(error).rpartition('__init__() ')[2]
        raise LaunchError(
            f'The part "{name}" of the config: {told}.'
        ) from error


def stage_folder(run: str | os.PathLike, *names: str) -> StageFolder:
    """Name the folder of a stage.

    Args:
        run (str | PathLike): The run.
        *names (str): ``write``, ``render``, or ``judges`` and its name.

    Returns:
        StageFolder: The folder.
    """
    return StageFolder(Path(run).joinpath(*names))
