"""Tensors without numbers: what fills a GPU, on a machine that has none.

Floating-point tensors lie on the meta device and have only a size; integers
and masks, which say how many words are hidden and who belongs together, keep
their numbers. So a training step of any size runs in a little host memory, and
the bytes of its tensors are those on a GPU.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from .rules import INDEXING

_META = torch.device('meta')
_CPU = torch.device('cpu')
_ANSWERS = ('_local_scalar_dense', 'is_nonzero', 'equal', 'allclose')


class Memory:
    """Bytes of the tensors that are alive.

    Attributes:
        now (int): Bytes that are held.
        peak (int): The most that were held at once.
    """

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._held: dict[int, int] = {}
        self._casts: Any = weakref.WeakValueDictionary()

    def cast(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """Cast a tensor as autocast does, which casts a weight once.

        Args:
            value (Tensor): The tensor.
            dtype (torch.dtype): The type.

        Returns:
            Tensor: That of a weight as long as the graph holds it.
        """
        if not (value.is_leaf and value.requires_grad):
            return value.to(dtype)
        key = (id(value), dtype, torch.is_grad_enabled())
        found = self._casts.get(key)
        if found is None:
            found = self._casts[key] = value.to(dtype)
        return found

    def add(self, host: Tensor) -> None:
        """Count a tensor until its memory is let go; views count once.

        Args:
            host (Tensor): What holds the numbers, or their place.
        """
        storage = host.untyped_storage()
        key = storage._cdata
        if key in self._held:
            return
        self._held[key] = storage.nbytes()
        weakref.finalize(storage, self._drop, key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _drop(self, key: int) -> None:
        self.now -= self._held.pop(key, 0)


def empty_host(dtype: torch.dtype | None) -> torch.device:
    """Where the numbers of a new tensor lie: those of floats nowhere.

    Args:
        dtype (torch.dtype, optional): Its type.

    Returns:
        torch.device: The meta device, or the CPU.
    """
    dtype = dtype or torch.get_default_dtype()
    return _META if dtype.is_floating_point else _CPU


def run_hollow(
    func: Any, name: str, args: Sequence[Any], kwargs: dict, stays: bool
) -> Any:
    """Run an operation without the numbers of floats.

    Args:
        func (OpOverload): The operation.
        name (str): Its name without namespace and overload.
        args (Sequence): Its arguments, tensors without their wrappers.
        kwargs (dict): Its named arguments, likewise.
        stays (bool): Whether the result is on the device.

    Returns:
        Any: The result; an unknown number is 1, an unknown mask chooses all,
        nothing is true of any number and all are what is asked for.
    """
    unknown = any(_is_meta(x) for x in _leaves(args, kwargs))
    if name in _ANSWERS and unknown:
        # Losses are finite, gradients too, and norms are not stale.
        return 1.0 if _floats(args[0]) and name == _ANSWERS[0] else True
    if name in ('any', 'all') and unknown:
        # What is asked for are faults and special cases: there are none.
        known = torch.full_like(args[0], name == 'all', device=_CPU)
        return func(known, *args[1:], **kwargs)
    if name == '_to_copy':
        return _copy(func, args, kwargs, stays)
    if name in INDEXING:
        args = (args[0], _rows(args[1]), *args[2:])
    if name == 'nonzero' and unknown:
        return torch.zeros(args[0].numel(), args[0].dim(), dtype=torch.long)
    if name == 'multinomial':
        # Which rows are drawn does not matter, but they are chosen with.
        shape = (*args[0].shape[:-1], args[1])
        return torch.zeros(shape, dtype=torch.long)
    if kwargs.get('device') is not None:
        kwargs = dict(kwargs, device=empty_host(_made(args, kwargs)))
    if any(_is_meta(x) for x in _leaves(args, kwargs)):
        args, kwargs = tree_map(_hollowed, (tuple(args), kwargs))
    out = func(*args, **kwargs)
    return tree_map(_hollowed_float, out) if stays else out


def _made(args: Sequence[Any], kwargs: dict) -> torch.dtype | None:
    """Type of what an operation makes on a device that is named."""
    if kwargs.get('dtype') is not None:
        return kwargs['dtype']
    tensors = [x for x in args if isinstance(x, Tensor)]
    if tensors:
        return tensors[0].dtype
    numbers = [x for x in args if isinstance(x, int | float)]
    whole = numbers and all(isinstance(x, int) for x in numbers)
    return torch.long if whole else None  # arange


def _copy(func: Any, args: Sequence[Any], kwargs: dict, stays: bool) -> Any:
    source = args[0]
    dtype = kwargs.get('dtype') or source.dtype
    kwargs = {k: v for k, v in kwargs.items() if k != 'pin_memory'}
    if not stays and source.is_meta:
        return torch.ones(source.shape, dtype=dtype)
    if stays and (source.is_meta or dtype.is_floating_point):
        return func(_hollowed(source), **dict(kwargs, device=_META))
    return func(source, **dict(kwargs, device=_CPU))


def _rows(index: Any) -> list:
    """Masks as rows, of which a tensor without numbers has none to count."""
    rows: list[Tensor | None] = []
    for part in index or ():
        if not isinstance(part, Tensor) or part.dtype not in (
            *(torch.bool, torch.uint8),
        ):
            rows.append(part)
        elif part.is_meta:
            zeros = torch.zeros(part.numel(), dtype=torch.long)
            rows.extend([zeros] * part.dim())
        else:
            rows.extend(part.nonzero().unbind(1))
    return rows


def _leaves(args: Sequence[Any], kwargs: dict) -> list:
    found: list = []
    tree_map(found.append, (tuple(args), kwargs))
    return found


def _is_meta(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_meta


def _floats(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _hollowed(value: Any) -> Any:
    plain = isinstance(value, Tensor) and not value.is_meta
    return value.to(_META) if plain else value


def _hollowed_float(value: Any) -> Any:
    return _hollowed(value) if _floats(value) else value
