"""Plain descriptions of objects, to tell whether two do the same."""

import hashlib
import logging
import re
from collections.abc import Mapping
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
from torch import Tensor, nn

from .fingerprint import weights_fingerprint

#: What says where an object without a repr of its own lies in memory.
_ADDRESS = re.compile(r' at 0x[0-9a-f]+')
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
#: Attributes of modules that change how they train, not what they give.
_TRAINING_ONLY = {
    'training',
    'frozen',
    'grad_checkpointing',
    'gradient_checkpointing',
}


def describe(value: Any, _around: tuple[int, ...] = ()) -> Any:
    """Say in plain values what a value is and holds.

    Two values of equal description do the same, as far as their classes and
    attributes tell: an object is described by its class, its attributes, by
    themselves described, and its repr if it has one of its own; a function by
    its name, its code and what it closes over; an array by its content.
    Attributes with ``cache`` in their name do not count, nor do addresses.

    Args:
        value (Any): Such as a pipeline.

    Returns:
        Any: Texts and lists of them.
    """
    if isinstance(value, _SCALARS):
        return repr(value)
    if id(value) in _around:
        return '...'
    one = partial(describe, _around=(*_around, id(value)))
    if isinstance(value, Mapping):
        return _mapping(value, one)
    if isinstance(value, list | tuple):
        return ['list', *map(one, value)]
    if isinstance(value, set | frozenset):
        return ['set', *_sorted(map(one, value))]
    if isinstance(value, nn.Module):
        return describe_module(value, one)
    if isinstance(value, Tensor | np.ndarray):
        return _array(value)
    if isinstance(value, logging.Logger):
        return ['logger', value.name]
    if isinstance(value, type | BuiltinFunctionType):
        return _name(value)
    if isinstance(value, FunctionType | MethodType | CodeType | partial):
        return _function(value, one)
    return _object(value, one)


def describe_module(module: nn.Module, one=describe) -> Any:
    """Describe a network: its weights, its modules and their settings.

    What only matters in training does not count, nor do private attributes
    that are not plain values: they may change with use.

    Args:
        module (nn.Module): The network.
        one (Callable): Describes what an attribute holds.

    Returns:
        Any: Texts and lists of them.
    """
    parts = [
        [name, _name(type(part)), part.extra_repr(), _settings(part, one)]
        for name, part in module.named_modules()
    ]
    buffers = [
        [name, _array(buffer)]  # those that the weights leave out too
        for name, buffer in module.named_buffers()
    ]
    return ['module', weights_fingerprint(module), buffers, parts]


def _mapping(value: Mapping, one) -> list:
    items = list(value.items())
    if all(
        type(k) in (*_SCALARS, tuple) and type(v) in _SCALARS for k, v in items
    ):
        # A vocabulary has many; none needs a description of its own.
        return ['dict', _digest(repr(_sorted(items)).encode())]
    return ['dict', *_sorted([one(k), one(v)] for k, v in items)]


def _settings(module: nn.Module, one) -> list:
    return _sorted(
        [name, one(value)]
        for name, value in vars(module).items()
        if name not in _TRAINING_ONLY
        and 'cache' not in name
        and (not name.startswith('_') or isinstance(value, _SCALARS))
    )


def _object(value: Any, one) -> list:
    kind = type(value)
    found: list = [_name(kind)]
    if kind.__repr__ is not object.__repr__:
        found.append(_ADDRESS.sub('', repr(value)))
    attributes = getattr(value, '__dict__', {}).items()
    counted = [[k, one(v)] for k, v in attributes if 'cache' not in k]
    return found + _sorted(counted)


def _function(value: Any, one) -> list:
    if isinstance(value, partial):
        return ['partial', *map(one, (value.func, value.args, value.keywords))]
    if isinstance(value, MethodType):
        return ['method', one(value.__func__), one(value.__self__)]
    if isinstance(value, CodeType):
        code = _digest(value.co_code)
        return [code, one(value.co_consts), one(value.co_names)]
    cells = [_cell(cell, one) for cell in value.__closure__ or ()]
    defaults = one((value.__defaults__, value.__kwdefaults__))
    return [_name(value), one(value.__code__), defaults, *cells]


def _cell(cell, one) -> Any:
    try:
        return one(cell.cell_contents)
    except ValueError:  # not filled yet
        return 'empty'


def _array(value: Tensor | np.ndarray) -> list:
    if isinstance(value, Tensor):
        tensor = nn.Module()
        tensor.register_buffer('value', value)
        return ['tensor', weights_fingerprint(tensor)]
    if value.dtype.hasobject:
        return ['array', repr(value.tolist())]
    digest = _digest(value.tobytes())
    return ['array', str(value.dtype), str(value.shape), digest]


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _name(value: Any) -> str:
    return f'{value.__module__}.{value.__qualname__}'


def _sorted(items) -> list:
    return sorted(items, key=repr)
