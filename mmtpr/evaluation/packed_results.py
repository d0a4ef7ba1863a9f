"""Results of samples, their tensors in few blocks, to be sent in one go.

A tensor alone costs some 200 microseconds to pickle and to read again, however
small it is; a block of thousands of them costs hardly more than one.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

# Results whose tensors share blocks: one block is all that lies there twice.
_STEP = 1024
#: Of all tensors of one place and form: the indices of their results, and they
#: themselves, (n, ...).
_Block = tuple[tuple[str, ...], list[int], Tensor]


def pack_results(results: list[dict]) -> list[tuple[list[dict], list[_Block]]]:
    """Put the tensors of results into blocks.

    The list is emptied on the way, so that its tensors do not lie in memory a
    second time.

    Args:
        results (list[dict]): Plain values, tensors and dicts of them by name.

    Returns:
        list[tuple]: To be read by :func:`unpack_results`.
    """
    packed = []
    results.reverse()
    while results:
        number = min(_STEP, len(results))
        packed.append(_pack([results.pop() for _ in range(number)]))
    return packed


def _pack(results: list[dict]) -> tuple[list[dict], list[_Block]]:
    groups: dict[tuple, tuple[list[int], list[Tensor]]] = {}
    for index, result in enumerate(results):
        for path, tensor in _tensors(result):
            key = (path, tensor.shape, tensor.dtype, tensor.device)
            indices, tensors = groups.setdefault(key, ([], []))
            indices.append(index)
            tensors.append(tensor)
    blocks = [
        (path, indices, torch.stack(tensors))
        for (path, *_), (indices, tensors) in groups.items()
    ]
    return [_without_tensors(result) for result in results], blocks


def unpack_results(
    packed: Iterable[tuple[list[dict], list[_Block]]],
) -> list[dict]:
    """Read what :func:`pack_results` gave.

    Args:
        packed (Iterable[tuple]): Packed results.

    Returns:
        list[dict]: The results; their tensors are views of the blocks.
    """
    results = []
    for plain, blocks in packed:
        for path, indices, block in blocks:
            for index, tensor in zip(indices, block.unbind(), strict=True):
                _set(plain[index], path, tensor)
        results += plain
    return results


def _tensors(
    result: dict, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    for name, value in result.items():
        if isinstance(value, Tensor):
            yield (*path, name), value
        elif isinstance(value, dict):
            yield from _tensors(value, (*path, name))


def _without_tensors(result: dict) -> dict:
    return {
        name: _without_tensors(value) if isinstance(value, dict) else value
        for name, value in result.items()
        if not isinstance(value, Tensor)
    }


def _set(result: dict[str, Any], path: tuple[str, ...], value: Tensor) -> None:
    for name in path[:-1]:
        result = result[name]
    result[path[-1]] = value
