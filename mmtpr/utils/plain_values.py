"""Plain values that stand for objects in fingerprints."""

import hashlib
import inspect
import json
import logging
import re
from collections.abc import Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
from torch import Tensor, nn, uint8

_SCALARS = (bool, int, float, str, type(None))
#: Memory address in the repr of an object without one of its own.
_ADDRESS = re.compile(r' at 0x[0-9a-f]+')
#: Attributes of modules that change how they train, not what they give.
_TRAINING_ONLY = {
    'training',
    'frozen',
    'grad_checkpointing',
    'gradient_checkpointing',
}


def plain_value(value: Any, _around: tuple[int, ...] = ()) -> Any:
    """Turn a value into what json can hold.

    Values that give the same do the same, as far as their classes and
    attributes tell: an object is its class, its attributes, made plain
    themselves, and its repr if it has one of its own; a function its name,
    its source and what it closes over, and not its byte code, which each
    version of Python compiles anew; an array its content; a module its parts
    and their settings, without its weights. Attributes with ``cache`` in
    their name do not count, nor do addresses in memory.

    Args:
        value (Any): Such as a config or a pipeline.

    Returns:
        Any: Scalars, lists and dicts.
    """
    if isinstance(value, _SCALARS):
        return value
    if id(value) in _around:
        return '...'
    plain = partial(plain_value, _around=(*_around, id(value)))
    if isinstance(value, Mapping):
        return {_key(k, plain): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return ['set', *_sorted(map(plain, value))]
    if isinstance(value, nn.Module):
        return _module(value, plain)
    if isinstance(value, Tensor | np.ndarray):
        return _array(value)
    if isinstance(value, logging.Logger):
        return ['logger', value.name]
    if isinstance(value, type | BuiltinFunctionType):
        return _name(value)
    if isinstance(value, FunctionType | MethodType | partial):
        return _function(value, plain)
    return _object(value, plain)


def _key(key: Any, plain) -> str:
    if isinstance(key, (*_SCALARS, tuple)):
        return str(key)
    return json.dumps(plain(key), sort_keys=True)


def _module(module: nn.Module, plain) -> list:
    """Parts of a network and their settings.

    What only matters in training does not count, nor do private attributes
    that are not plain: they may change with use.
    """
    parts = [
        [name, _name(type(part)), part.extra_repr(), _settings(part, plain)]
        for name, part in module.named_modules()
    ]
    buffers = [
        [name, _array(buffer)]  # those that the weights leave out too
        for name, buffer in module.named_buffers()
    ]
    return ['module', buffers, parts]


def _settings(module: nn.Module, plain) -> dict:
    return {
        name: plain(value)
        for name, value in vars(module).items()
        if name not in _TRAINING_ONLY
        and 'cache' not in name
        and (not name.startswith('_') or isinstance(value, _SCALARS))
    }


def _object(value: Any, plain) -> list:
    parts: list = [_name(type(value))]
    if type(value).__repr__ is not object.__repr__:
        parts.append(_ADDRESS.sub('', repr(value)))
    attributes = getattr(value, '__dict__', {}).items()
    return [*parts, {k: plain(v) for k, v in attributes if 'cache' not in k}]


def _function(value: Any, plain) -> list:
    if isinstance(value, partial):
        return [
            'partial',
            *map(plain, (value.func, value.args, value.keywords)),
        ]
    if isinstance(value, MethodType):
        return ['method', plain(value.__func__), plain(value.__self__)]
    cells = [_cell(cell, plain) for cell in value.__closure__ or ()]
    defaults = plain((value.__defaults__, value.__kwdefaults__))
    return [_name(value), _source(value), defaults, *cells]


def _source(function: FunctionType) -> str | list:
    """Source of a function; lambdas that share a line share it."""
    try:
        return inspect.getsource(function).strip()
    except (OSError, TypeError):  # typed in, or made by exec
        code = function.__code__
        constants = [c for c in code.co_consts if isinstance(c, _SCALARS)]
        return [list(code.co_names), constants]


def _cell(cell, plain) -> Any:
    try:
        return plain(cell.cell_contents)
    except ValueError:  # not filled yet
        return 'empty'


def _array(value: Tensor | np.ndarray) -> list:
    if isinstance(value, Tensor):
        kind, shape = str(value.dtype), tuple(value.shape)
        value = value.detach().cpu().contiguous().reshape(-1)
        content = value.view(uint8).numpy().tobytes()
    elif value.dtype.hasobject:
        return ['array', repr(value.tolist())]
    else:
        kind, shape, content = str(value.dtype), value.shape, value.tobytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return ['array', kind, list(shape), digest]


def _name(value: Any) -> str:
    return f'{value.__module__}.{value.__qualname__}'


def _sorted(items) -> list:
    return sorted(items, key=repr)
