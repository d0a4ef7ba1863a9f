"""Reading a config that a command line names."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config

from .config_keys import check_config_keys, check_option_roots
from .config_options import check_option_paths
from .errors import LaunchError


def read_config(
    path: str,
    options: dict | None = None,
    root: Path | None = None,
    name: str = '--cfg-options',
    parts: Iterable[str] = (),
) -> Config:
    """Read a config and override settings of it.

    Args:
        path (str): Path of the config, relative to the working directory or
            to ``root``.
        options (dict, optional): Overrides of single keys.
        root (Path, optional): Folder that holds ``configs/``.
        name (str): The option of the command line that gave ``options``.
            Defaults to ``'--cfg-options'``.
        parts (Iterable[str]): Keys that something else than a runner reads.
            Defaults to none.

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
        check_option_roots(options, cfg, name, parts)
        check_option_paths(options, cfg, name)
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
    except Exception as error:
        told = _told(path, error)
        if told is None:
            raise
        raise LaunchError(told) from error


def _told(path: str, error: Exception) -> str | None:
    """Say what is wrong in a config; None where mmengine says it."""
    text = str(error.args[0] if error.args else '')
    if isinstance(error, AttributeError) and error.name:
        text = error.name
    if text.startswith('Failed to import custom modules'):
        return (
            f'custom_imports of the config "{path}": {_first_cause(error)}. '
            'Put the folder of the module on PYTHONPATH, or mend the name.'
        )
    if '_get_package_and_cfg_path' in text:
        return (
            f'The config "{path}" or a base of it names a config of a package '
            'without its folder; write for example '
            "'mmtpr::wora/wora-r8_clip-vit-b16_1xb64-60e_cuhk-pedes-"
            "384x128.py'."
        )
    frames = traceback.extract_tb(error.__traceback__)
    ran = next((frame for frame in frames if frame.name == '<module>'), None)
    place = f'The config "{path}" or a base of it'
    if ran is not None:
        place = f'Line {ran.lineno} of the config "{ran.filename}"'
    absent = isinstance(error, KeyError | AttributeError)
    of_base = ran is None or '_base_' in (ran.line or '')
    if absent and of_base and text.isidentifier():
        return f'{place} reads "{text}" of its bases, which have none.'
    if ran is None:
        return None
    return f'{place} cannot be executed: {type(error).__name__}: {error}.'


def _first_cause(error: BaseException) -> BaseException:
    inner = error.__cause__ or error.__context__
    return error if inner is None else _first_cause(inner)


def _near(places: list[Path]) -> str:
    """Names of configs like the one asked for."""
    for place in places:
        if place.parent.is_dir():
            names = [p.name for p in place.parent.glob('*.py')]
            near = difflib.get_close_matches(place.name, names, n=3)
            if near:
                return f' In "{place.parent}" there is: {", ".join(near)}.'
    return ''
