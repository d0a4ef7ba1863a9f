"""Tensors of the pretended device."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import return_and_correct_aliasing

from .hollow import run_hollow
from .record import active
from .rules import COPIES, NAME, NO_KERNEL, check_devices, waits_of

# Answers that are no tensors of the device.
_ANSWERS = ('_local_scalar_dense', 'equal', 'is_nonzero')


class PretendedTensor(torch.Tensor):
    """A tensor that says it is on the pretended device.

    Args:
        host (Tensor): Its numbers, on the CPU.
    """

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor) -> 'PretendedTensor':
        """Wrap the numbers without touching them."""
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            host.size(),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            layout=host.layout,
            device=torch.device(NAME, 0),
            requires_grad=False,
        )
        tensor.host = host
        found = active()
        if found is not None and found.memory is not None:
            found.memory.add(host)
        return tensor

    def __repr__(self) -> str:  # type: ignore[override]
        return f'{type(self).__name__}({tuple(self.shape)}, {self.dtype})'

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Run an operation among whose tensors one is of this device."""
        return compute(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Read the numbers, for which the host waits."""
        _note('wait', 'tolist')
        return self.host.tolist()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.dim() == 0 else repr(self)

    def numpy(self, *args, **kwargs) -> Any:
        """Refuse, as a tensor of a GPU does."""
        raise TypeError(_NUMPY)

    def __array__(self, *args, **kwargs) -> Any:
        raise TypeError(_NUMPY)


_NUMPY = (
    f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() to "
    'copy the tensor to host memory first.'
)


def is_ours(value: Any) -> bool:
    """Tell whether a value is a tensor of the pretended device."""
    return isinstance(value, PretendedTensor)


def wrap(value: Any) -> Any:
    """Put a tensor on the pretended device; leave anything else."""
    plain = isinstance(value, torch.Tensor) and not is_ours(value)
    return PretendedTensor(value) if plain else value


def unwrap(value: Any) -> Any:
    """Take the numbers of a tensor of the device; leave anything else."""
    return value.host if is_ours(value) else value


def compute(func: Any, args: Sequence[Any], kwargs: dict) -> Any:
    """Run an operation on the CPU as the device would.

    Args:
        func (OpOverload): The operation.
        args (Sequence): Its arguments.
        kwargs (dict): Its named arguments.

    Returns:
        Any: Its result, on the pretended device where that of a GPU would be
        on the GPU.

    Raises:
        DeviceMismatchError: If tensors of two devices meet.
    """
    name = func._schema.name.split('::')[1]
    if name == '_has_compatible_shallow_copy_type':
        return False
    tensors = [*_tensors(args), *_tensors(kwargs.values())]
    device = kwargs.get('device')
    made_here = device is not None and torch.device(device).type == NAME
    if not made_here and not any(map(is_ours, tensors)):
        return func(*args, **kwargs)
    stays = _stays(name, args, kwargs, made_here)
    if name not in COPIES and device is None:
        copied = check_devices(name, args, tensors, is_ours)
        _note('wait', f'{name} with an index of the CPU', copied)
    _note('wait', name, waits_of(name, args, kwargs))
    if name not in NO_KERNEL:
        _note('launch', name)
    plain_args = _each(unwrap, args)
    plain = {key: _each(unwrap, value) for key, value in kwargs.items()}
    if device is not None:
        plain = {**plain, 'device': torch.device('cpu')}
    plain.pop('pin_memory', None)
    gpu = active()
    if gpu is not None and gpu.memory is not None:
        out = run_hollow(func, name, plain_args, plain, stays)
    else:
        out = func(*plain_args, **plain)
    if name in _ANSWERS or not stays:
        return out
    return return_and_correct_aliasing(func, args, kwargs, _each(wrap, out))


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """Tensors among arguments; there are no dicts in those of operations."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _each(change: Callable, value: Any) -> Any:
    """Change values and those in lists of them."""
    if isinstance(value, list | tuple):
        return type(value)(_each(change, inner) for inner in value)
    return change(value)


def _stays(name: str, args: Sequence[Any], kwargs: dict, made: bool) -> bool:
    """Tell whether the result is on the device; note copies that wait."""
    device = kwargs.get('device')
    if name not in COPIES:
        return made or device is None
    target = made if device is not None else is_ours(args[0])
    source = args[1] if name == 'copy_' else args[0]
    if is_ours(source) != target:
        where = 'to the device' if target else 'to the host'
        # Such a copy waits for its stream, unless told not to. The host
        # cannot read what has not arrived, so that one is counted anyway.
        goes_on = kwargs.get('non_blocking') or (
            name == 'copy_' and len(args) > 2 and args[2]
        )
        kind = 'copy' if goes_on and target else 'wait'
        _note(kind, f'copy {where}')
    return target


def _note(kind: str, name: str, times: int = 1) -> None:
    gpu = active()
    if gpu is not None and times:
        gpu.note(kind, name, times)
