"""KEY=VALUE on a command line."""

import argparse
import ast
import json
from collections.abc import Mapping
from typing import Any

from mmengine.config import DictAction

from .errors import LaunchError


class ConfigOptions(DictAction):
    """Reads KEY=VALUE as mmengine does, and what that cannot read.

    A value that begins with a bracket and has a brace in it is JSON or a
    Python literal, so that lists of dicts can be given. A text without commas
    keeps its spaces, which mmengine drops.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add pairs to the dict of the option."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in values or ():
            key, sign, text = pair.partition('=')
            if not sign or not key:
                parser.error(f'{option_string}: "{pair}" is no KEY=VALUE')
            try:
                options[key] = self.parse(text)
            except ValueError as error:
                parser.error(f'{option_string}: {key}: {error}')
        setattr(namespace, self.dest, options)

    @classmethod
    def parse(cls, text: str) -> Any:
        """Read a value.

        Args:
            text (str): What stands behind ``=``.

        Returns:
            Any: The value.

        Raises:
            ValueError: If it begins as a list or dict and is none.
        """
        text = text.strip()
        if text[:1] in ('[', '(', '{') and '{' in text:
            return _literal(text)
        if ',' not in text and text[:1] not in ('[', '('):
            return cls._parse_int_float_bool(text.strip('\'"'))
        try:
            return cls._parse_iterable(text)
        except AssertionError:
            raise ValueError(
                f'the brackets of "{text}" do not match'
            ) from None
        except RecursionError:  # of mmengine, which meets a call
            raise ValueError(
                f'"{text}" is no list of values. Write dicts in it with '
                'braces: [{"name": 1}]'
            ) from None


def check_option_paths(
    options: Mapping[str, Any], cfg: Mapping[str, Any], name: str
) -> None:
    """Check that the keys of a command line lead into a config.

    Args:
        options (dict): Values by dotted key.
        cfg (Config): The config, before they are merged into it.
        name (str): The option of the command line, for messages.

    Raises:
        LaunchError: If one goes into what has no keys, or names no item of a
            list.
    """
    for option, value in options.items():
        node: Any = cfg
        place: list[str] = []
        for key in option.split('.'):
            _check_key(node, key, f'{name} {option}', '.'.join(place))
            node = _item(node, key)
            if node is None:
                break
            place.append(key)
        if isinstance(value, Mapping) and '_delete_' not in value:
            for key in value if node is not None else ():
                _check_key(node, str(key), f'{name} {option}', option)


def _item(node: Any, key: str) -> Any:
    if isinstance(node, list | tuple):
        return node[int(key)]
    return node.get(key)


def _check_key(node: Any, key: str, said: str, place: str) -> None:
    if isinstance(node, list | tuple):
        if not key.isdigit() or int(key) >= len(node):
            raise LaunchError(
                f'{said}: "{place}" is a list of {len(node)}, without '
                f'"{key}"; name an item by its number, as in {place}.0, or '
                'give the whole list.'
            )
        if isinstance(node, tuple):
            raise LaunchError(
                f'{said}: "{place}" is a tuple; give it as a whole.'
            )
    elif not isinstance(node, Mapping) and not hasattr(node, 'get'):
        raise LaunchError(
            f'{said}: "{place}" is {node!r}, which has no "{key}" in it.'
        )


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    raise ValueError(
        f'"{text}" is neither JSON nor a Python literal; quote names, and the '
        'whole for the shell: \'targets=[{"type": "linear"}]\''
    )
