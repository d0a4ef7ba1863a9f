"""Reading a config that a command line names."""

import difflib
from pathlib import Path

from mmengine.config import Config

from .config_keys import check_config_keys, check_option_roots
from .errors import LaunchError


def read_config(
    path: str,
    options: dict | None = None,
    root: Path | None = None,
    name: str = '--cfg-options',
) -> Config:
    """Read a config and override settings of it.

    Args:
        path (str): Path of the config, relative to the working directory or
            to ``root``.
        options (dict, optional): Overrides of single keys.
        root (Path, optional): Folder that holds ``configs/``.
        name (str): The option of the command line that gave ``options``.
            Defaults to ``'--cfg-options'``.

    Returns:
        Config: The config with the overrides.

    Raises:
        LaunchError: If there is no such file, naming near ones, or a key that
            nothing reads is in it or in ``options``.
    """
    places = [Path(path)] + ([root / path] if root else [])
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise LaunchError(
            f'The config "{path}" does not exist.{_near(places)}'
        )
    cfg = Config.fromfile(str(found))
    check_config_keys(cfg)
    if options:
        check_option_roots(options, cfg, name)
        cfg.merge_from_dict(options)
    return cfg


def _near(places: list[Path]) -> str:
    """Names of configs like the one asked for."""
    for place in places:
        if place.parent.is_dir():
            names = [p.name for p in place.parent.glob('*.py')]
            near = difflib.get_close_matches(place.name, names, n=3)
            if near:
                return f' In "{place.parent}" there is: {", ".join(near)}.'
    return ''
