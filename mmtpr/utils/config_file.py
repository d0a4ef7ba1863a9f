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
    cfg = _parse(str(found))
    check_config_keys(cfg)
    if options:
        check_option_roots(options, cfg, name)
        cfg.merge_from_dict(options)
    return cfg


def _parse(path: str) -> Config:
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        unnamed = (error.filename or '<').startswith('<')
        raise LaunchError(
            f'The config "{path if unnamed else error.filename}" is no valid '
            'Python: '
            f'{error.msg}, line {error.lineno}.'
        ) from error
    except UnicodeDecodeError as error:
        raise LaunchError(
            f'The config "{path}" or a base of it is no UTF-8 text.'
        ) from error
    except ValueError as error:
        if '_get_package_and_cfg_path' not in str(error):
            raise
        raise LaunchError(
            f'The config "{path}" or a base of it names a config of a package '
            'without its folder; write for example '
            "'mmtpr::wora/wora-r8_clip-vit-b16_1xb64-60e_cuhk-pedes-"
            "384x128.py'."
        ) from error


def _near(places: list[Path]) -> str:
    """Names of configs like the one asked for."""
    for place in places:
        if place.parent.is_dir():
            names = [p.name for p in place.parent.glob('*.py')]
            near = difflib.get_close_matches(place.name, names, n=3)
            if near:
                return f' In "{place.parent}" there is: {", ".join(near)}.'
    return ''
