"""Configs as plain data, with their tokenizers in files beside them."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtpr.text.clip_tokenizer import build_tokenizer
from mmtpr.text.config_tokenizers import tokenizer_nodes, tokenizer_request
from mmtpr.utils.config_parts import find_pipeline
from mmtpr.utils.errors import LaunchError

from .tokenizer_file import write_tokenizer

#: Classes that tokenize captions, by the option that names a tokenizer.
_OPTIONS = dict(
    TokenizeCaption='tokenizer',
    PseudoWordQuery='tokenizer',
    TokenizeBert='vocab',
)
#: Entries of a request that name the file of a tokenizer.
_FILES = ('json', 'bert')


def plain_data(value: Any, where: str = 'the config') -> Any:
    """Turn a part of a config into what json holds.

    Args:
        value (Any): The part.
        where (str): Its name, for the message. Defaults to 'the config'.

    Returns:
        Any: Dicts with text as keys, lists, numbers, text, None. Classes of
        mmtpr become their names.

    Raises:
        LaunchError: If something has no such form.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {
            str(k): plain_data(v, f'{where}.{k}') for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain_data(v, f'{where}[{i}]') for i, v in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, type) and value.__module__.startswith('mmtpr.'):
        return f'mmtpr.{value.__name__}'
    raise LaunchError(
        f'{where} is {value!r}, which has no form as plain data. Write it in '
        'the config as text, numbers, lists and dicts, and a class by its '
        'name.'
    )


def portable_config(cfg: Any) -> dict[str, Any]:
    """Take out of a config what embeds and ranks with its model.

    Args:
        cfg (Config): The whole config.

    Returns:
        dict: Plain data in the places of a whole config: the pipeline of the
        test data, the evaluator, the default scope.
    """
    pipeline = plain_data(find_pipeline(cfg), 'pipeline')
    evaluator = plain_data(cfg.get('test_evaluator') or [], 'test_evaluator')
    return dict(
        default_scope=cfg.get('default_scope') or 'mmtpr',
        test_dataloader=dict(dataset=dict(pipeline=pipeline)),
        test_evaluator=evaluator,
    )


def write_tokenizers(
    data: dict[str, Any], folder: Path, captions: Sequence[str] = ()
) -> dict[str, Any]:
    """Put the tokenizers of a config into files, and name these in it.

    Args:
        data (dict): Plain data of a config, not changed.
        folder (Path): Where ``tokenizer.json`` goes; further tokenizers get a
            number.
        captions (Sequence[str]): See :func:`write_tokenizer`.

    Returns:
        dict: A copy that names files of the folder alone.

    Raises:
        ValueError: If a tokenizer cannot be written as one file.
    """
    data = copy.deepcopy(data)
    known: dict[str, dict] = {}
    for node in tokenizer_nodes(data, tuple(_OPTIONS)):
        option = _option_of(node)
        asked, length = tokenizer_request(node)
        key = repr(asked)
        if key not in known:
            number = f'_{len(known)}' if known else ''
            file = folder / f'tokenizer{number}.json'
            built = build_tokenizer(asked, length)
            known[key] = write_tokenizer(built, file, captions)
        request = {
            k: Path(v).name if k in _FILES else v
            for k, v in known[key].items()
        }
        node[option] = request['bert'] if option == 'vocab' else request
    return data


def open_tokenizers(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let a config of a folder name the files in that folder.

    Args:
        data (dict): Result of :func:`write_tokenizers`, not changed.
        folder (Path): The folder, wherever it is now.

    Returns:
        dict: A copy with whole paths.

    Raises:
        ValueError: If a file lies outside the folder.
    """
    data = copy.deepcopy(data)
    for node in tokenizer_nodes(data, tuple(_OPTIONS)):
        option = _option_of(node)
        if option == 'vocab':
            if 'vocab' in node:
                node['vocab'] = _inside(node['vocab'], folder)
            continue
        request = node.get(option)
        if isinstance(request, dict):
            for name in set(_FILES) & set(request):
                request[name] = _inside(request[name], folder)
    return data


def _option_of(node: Mapping) -> str:
    return _OPTIONS[str(node['type']).rpartition('.')[2]]


def _inside(name: Any, folder: Path) -> str:
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(
            f'The folder "{folder}" names {name!r} as the file of a '
            'tokenizer; it must be a file in the folder.'
        )
    return str(folder.absolute() / name)
