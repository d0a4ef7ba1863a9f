"""Rules of a GPU: which operations wait, which refuse mixed devices."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

#: Name of the device, as in ``tensor.to(NAME)``.
NAME = 'pretended'

#: Copies, whose tensors may lie on two devices.
COPIES = ('copy_', '_to_copy', '_copy_from', 'set_', '_pin_memory')
#: Operations that index with a list of tensors.
INDEXING = (
    *('index', '_unsafe_index', 'index_put', 'index_put_'),
    *('_index_put_impl_', '_unsafe_index_put'),
)
# The size of their output, or the answer itself, is known to the device alone.
_WAITING = {
    '_local_scalar_dense': 1,
    'nonzero': 1,
    'nonzero_numpy': 1,
    'masked_select': 1,
    '_unique2': 1,
    'unique_dim': 1,
    'unique_consecutive': 1,
    'bincount': 1,
    'histc': 1,
    'equal': 1,
    'is_nonzero': 1,
    '_linalg_check_errors': 1,
    # Its kernel asks twice whether the weights are fit to draw from.
    'multinomial': 2,
}
# A scalar of the CPU is taken as a number by most operations; not by these.
_NO_SCALAR = (
    *('cat', 'stack', 'mm', 'bmm', 'addmm', 'gather', 'scatter'),
    *('index_select', 'embedding'),
)
#: Operations that start no kernel: views, and memory without content.
NO_KERNEL = (
    *('view', '_unsafe_view', 't', 'transpose', 'permute', 'expand'),
    *('detach', 'alias', 'as_strided', 'slice', 'select', 'unsqueeze'),
    *('squeeze', 'split', 'split_with_sizes', 'unbind', 'chunk', 'diagonal'),
    *('unfold', 'view_as', 'reshape', '_reshape_alias', 'expand_as'),
    *('empty', 'empty_like', 'empty_strided', 'new_empty', 'movedim'),
    *('new_empty_strided', 'resize_', 'set_', 'detach_', 'lift_fresh'),
)


class DeviceMismatchError(RuntimeError):
    """Tensors of two devices meet where a GPU would refuse it."""


def waits_of(name: str, args: Sequence[Any], kwargs: dict) -> int:
    """Count how often an operation lets the host wait.

    Args:
        name (str): Name of the operation, without namespace and overload.
        args (Sequence): Its arguments.
        kwargs (dict): Its named arguments.

    Returns:
        int: The number.
    """
    if name in INDEXING:
        masks = (torch.bool, torch.uint8)
        index = args[1] or ()
        return int(any(_is(i) and i.dtype in masks for i in index))
    if name == 'repeat_interleave':
        return int(kwargs.get('output_size') is None)
    return _WAITING.get(name, 0)


def check_devices(
    name: str,
    args: Sequence[Any],
    tensors: Sequence[Tensor],
    is_ours: Any,
) -> int:
    """Refuse tensors of two devices where a GPU does.

    Args:
        name (str): Name of the operation.
        args (Sequence): Its arguments.
        tensors (Sequence[Tensor]): All tensors among them.
        is_ours (Callable): Whether a tensor is on the pretended device.

    Returns:
        int: Indices that are copied to the device on the way.

    Raises:
        DeviceMismatchError: If they cannot meet.
    """
    if name in INDEXING:
        return _check_indexing(name, args, is_ours)
    host = [x for x in tensors if not is_ours(x)]
    if any(x.dim() for x in host):
        shapes = [tuple(x.shape) for x in host if x.dim()]
        raise DeviceMismatchError(
            f'{name}: Expected all tensors to be on the same device, but '
            f'found at least two devices, {NAME}:0 and cpu (shapes {shapes}).'
        )
    if host and (name in _NO_SCALAR or (name[-1:] == '_' and _is(args[0]))):
        written = not is_ours(args[0]) if _is(args[0]) else False
        if name in _NO_SCALAR or written:
            raise DeviceMismatchError(
                f'{name}: a scalar tensor of the CPU among those of {NAME}:0.'
            )
    return 0


def _check_indexing(name: str, args: Sequence[Any], is_ours: Any) -> int:
    if not is_ours(args[0]):
        raise DeviceMismatchError(
            f'{name}: a tensor of the CPU is indexed or filled by {NAME}:0.'
        )
    values = args[2] if len(args) > 2 else None
    if isinstance(values, Tensor) and not is_ours(values) and values.dim():
        raise DeviceMismatchError(f'{name}: the values are on the CPU.')
    index = args[1] or ()
    return sum(_is(i) and not is_ours(i) for i in index)


def _is(value: Any) -> bool:
    return isinstance(value, Tensor)
