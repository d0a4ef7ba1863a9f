"""Names that the files of a config assign, and which of them are read."""

import ast
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from mmengine.config import Config

#: ``{{_base_.name}}`` in a text.
_QUOTED = re.compile(r'\{\{\s*_base_\.[\w.]+\s*\}\}')
#: Functions that may read any variable by its name.
_BY_NAME = ('globals', 'locals', 'vars', 'eval', 'exec')


class _File(NamedTuple):
    offers: bool
    tree: ast.Module


def unread_names(cfg: Config) -> dict[str, bool]:
    """List the names that files assign and that no line after reads.

    Files in a folder ``_base_`` offer variables to whoever derives from them,
    so theirs do not count. Nor do those of files that cannot be told from
    what :meth:`Config.dump` writes, where variables stand beside the values
    they went into, nor those of json and yaml.

    Args:
        cfg (Config): A config that was read from files.

    Returns:
        dict[str, bool]: Name -> whether a base has read its own value of it,
        so that the later one comes too late.
    """
    try:
        files = [*_files(cfg.text, cfg.filename)]
    except SyntaxError:  # as of {{$VARIABLE:1}}, which mmengine replaces
        return {}
    unread: dict[str, bool] = {}
    reads = [set(_reads(file.tree)) for file in files]
    for number, file in enumerate(files):
        if file.offers:
            continue
        later = set().union(*reads[number:])
        earlier = set().union(*reads[:number])
        for name in _assigned(file.tree):
            if name not in later and name in cfg:
                unread[name] = name in earlier
    return unread


def quoted_variables(cfg: Config) -> list[str]:
    """List what stands in quotes and so is not replaced.

    Args:
        cfg (Config): A config that was read from files.

    Returns:
        list[str]: Such as ``{{_base_.name}}``.
    """
    try:
        files = [*_files(cfg.text, cfg.filename)]
    except SyntaxError:
        return []
    nodes = [node for file in files for node in ast.walk(file.tree)]
    # A docstring may tell of them.
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    values = (node for node in nodes if id(node) not in alone)
    texts = (text for node in values for text in _texts(node))
    return [found for text in texts for found in _QUOTED.findall(text)]


def _files(text: str, filename: str | None) -> Iterator[_File]:
    """Split what mmengine joins: a line with the path before each file."""
    path = filename or ''
    lines: list[str] = []
    for line in text.splitlines():
        if line.endswith(('.py', '.json', '.yml', '.yaml')) and os.path.isfile(
            line
        ):
            yield from _file(path, lines)
            path, lines = line, []
        else:
            lines.append(line)
    yield from _file(path, lines)


def _file(path: str, lines: list[str]) -> Iterator[_File]:
    if any(lines) and path.endswith('.py'):
        tree = ast.parse('\n'.join(lines))
        is_part = '_base_' in os.path.dirname(path).split(os.sep)
        yield _File(is_part or _is_dump(tree, lines), tree)


def _assigned(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        yield from (t.id for t in targets if isinstance(t, ast.Name))


def _reads(tree: ast.Module) -> Iterator[str]:
    """Names that are read, as they are or of ``_base_``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield from _assigned(tree) if node.id in _BY_NAME else [node.id]
        elif isinstance(node, ast.Attribute) and _is_base(node.value):
            yield node.attr
        elif isinstance(node, ast.Subscript) and _is_base(node.value):
            yield from _texts(node.slice)
        elif isinstance(node, ast.Call):  # _base_.get('name')
            if _is_base(getattr(node.func, 'value', None)):
                yield from (text for arg in node.args for text in _texts(arg))
        elif isinstance(node, ast.alias):
            yield node.name


def _is_base(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Name) and node.id == '_base_'


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _is_dump(tree: ast.Module, lines: list[str]) -> bool:
    """Tell whether mmengine may have written it, and somebody changed it.

    A dump reads no names. One of a run has what the tools set; any other is
    known by its order.
    """
    names = [*_assigned(tree)]
    orders = [names]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id not in ('dict', 'set'):
                return False
        elif isinstance(node, ast.Call):
            orders.append([str(k.arg) for k in node.keywords])
    if '_base_' in names:
        return False
    if {'launcher', 'work_dir'} <= {*names}:
        return True
    by_hand = any(line[:1] in ('', '#') for line in lines[:-1])
    return not by_hand and all(order == sorted(order) for order in orders)
