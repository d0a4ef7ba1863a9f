"""KEY=VALUE on a command line."""

import argparse
import ast
import json
from typing import Any

from mmengine.config import DictAction


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
