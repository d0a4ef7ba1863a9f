"""Arguments in a config that a class says it does not take."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS
from torch import Tensor

from mmtpr import registry
from mmtpr.utils.errors import LaunchError

_REGISTRIES = (
    *(registry.MODELS, registry.DATASETS, registry.TRANSFORMS),
    *(registry.DATA_SAMPLERS, registry.METRICS, registry.HOOKS),
    *(registry.LOOPS, registry.OPTIM_WRAPPER_CONSTRUCTORS),
    *(registry.TASK_UTILS, OPTIMIZERS, PARAM_SCHEDULERS),
)
_NUMBERS = (bool, int, float)


def check_argument_types(node: Any, key: str) -> None:
    """Compare the arguments of all parts that are built with annotations.

    What a class says about its arguments is believed: of mmtpr's own for all
    values, of others where a text stands for a number.

    Args:
        node (Any): A part of a config.
        key (str): Its dotted key.

    Raises:
        LaunchError: At the first argument that does not fit, with its key.
    """
    for place, part in _typed(node, key):
        _check_node(place, part)


def _typed(node: Any, key: str) -> Iterator[tuple[str, Mapping]]:
    """Walk over the parts that are built, with their dotted keys."""
    if isinstance(node, Mapping):
        if 'type' in node:
            yield key, node
        for name, value in node.items():
            yield from _typed(value, f'{key}.{name}')
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _typed(value, f'{key}.{index}')


def _check_node(key: str, node: Mapping) -> None:
    cls = _class_of(node['type'])
    if cls is None:
        # Others may be of a scope or a module that is imported later.
        near = difflib.get_close_matches(
            str(node['type']), OPTIMIZERS.module_dict, 1, 0.85
        )
        if key.endswith('.optimizer') and near:
            raise LaunchError(
                f'{key}: there is no optimizer "{node["type"]}"; meant: '
                f'{near[0]}?'
            )
        return
    for name, (hint, default, own) in _arguments(cls).items():
        value = node.get(name, default)
        if value is default or value == default:
            continue
        wrong = isinstance(value, str) and _only_numbers(hint)
        if wrong or (own and not _fits(value, hint)):
            raise LaunchError(
                f'{key}.{name}={value!r}: {cls.__name__} takes {_name(hint)}.'
            )


def _class_of(kind: Any) -> type | None:
    if not isinstance(kind, str):
        return kind if isinstance(kind, type) else None
    found = {cls for cls in map(_getter(kind), _REGISTRIES) if cls is not None}
    only = found.pop() if len(found) == 1 else None
    return only if isinstance(only, type) else None


def _getter(kind: str) -> Callable[[Any], Any]:
    def get(node: Any) -> Any:
        try:
            return node.get(kind)
        except Exception:  # building it will tell
            return None

    return get


def _arguments(cls: type) -> dict[str, tuple[Any, Any, bool]]:
    """Annotation and default of each argument, and whether mmtpr wrote it.

    Those that go on to a parent by ``**kwargs`` are of the parent.
    """
    found: dict[str, tuple[Any, Any, bool]] = {}
    for part in cls.__mro__:
        if '__init__' not in vars(part):
            continue
        init = inspect.unwrap(vars(part)['__init__'])
        try:
            hints = typing.get_type_hints(init)
            parameters = inspect.signature(init).parameters
        except (TypeError, ValueError, NameError, AttributeError):
            break
        own = part.__module__.startswith('mmtpr.')
        for name, parameter in parameters.items():
            # A name that a subclass declares hides that of its parent.
            hint = hints.get(name, Any)
            found.setdefault(name, (hint, parameter.default, own))
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            break
    return found


def _kinds(hint: Any) -> list[Any]:
    """The types of a union, of whatever it is made."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [k for part in typing.get_args(hint) for k in _kinds(part)]
    return [hint]


def _only_numbers(hint: Any) -> bool:
    """Tell whether a text can be no such argument."""
    kinds = [k for kind in _kinds(hint) for k in _entries(kind)]
    allowed = (*_NUMBERS, Tensor, type(None), Ellipsis)
    return all(k in allowed for k in kinds) and any(
        k in _NUMBERS for k in kinds
    )


def _entries(kind: Any) -> list[Any]:
    """What a sequence has in it; anything else as it is."""
    origin = typing.get_origin(kind)
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return [k for part in typing.get_args(kind) for k in _kinds(part)]
    return [kind]


def _fits(value: Any, hint: Any) -> bool:
    return any(_is(value, kind) for kind in _kinds(hint))


def _is(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a kind; True for kinds not known here."""
    origin = typing.get_origin(kind) or kind
    if kind is float:
        return isinstance(value, _NUMBERS)
    if kind is int:
        return isinstance(value, int)
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is type(None):
        return value is None
    if kind is Tensor:
        return False
    if inspect.isclass(origin) and issubclass(origin, PurePath):
        return isinstance(value, str | PurePath)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        parts = typing.get_args(kind) if origin is tuple else ()
        fixed = parts and Ellipsis not in parts
        return is_list(value) and not (fixed and len(value) != len(parts))
    return not isinstance(value, _NUMBERS) if _is_path(origin) else True


def is_list(value: Any) -> bool:
    """Tell a list or tuple, of whatever kind, from a text.

    Args:
        value (Any): A value of a config.

    Returns:
        bool: True if it is one.
    """
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_path(kind: Any) -> bool:
    return getattr(kind, '__name__', '') == 'PathLike'


def _name(hint: Any) -> str:
    words = {type(None): 'None', Tensor: ''}
    names = [
        words.get(kind, getattr(kind, '__name__', str(kind)))
        if not typing.get_args(kind)
        else str(kind).replace('collections.abc.', '').replace('typing.', '')
        for kind in _kinds(hint)
    ]
    return ' or '.join(name for name in names if name)
