"""The samples of all processes as one test set, in its order."""

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar('T')


def number_samples(
    sample_idx: Sequence[Sequence[int | None]], size: int
) -> list[list[int]]:
    """Number the samples of all processes by their order in the test set.

    Samplers repeat some samples to deal equally many to all processes; these
    have the number of the original. Where ``sample_idx``, which mmengine's
    datasets give, is not at hand or not of one dataset (a ``ConcatDataset``),
    process r of n must have the samples r, r + n, ..., as mmengine's samplers
    deal them.

    Args:
        sample_idx (Sequence[Sequence[int | None]]): Of the samples of each
            process, in the order they were processed.
        size (int): Samples of the test set.

    Returns:
        list[list[int]]: Numbers, from 0 to ``size`` - 1, of the samples of
        each process.

    Raises:
        ValueError: If there are fewer samples than the test set has, or their
            order cannot be told.
    """
    total = sum(map(len, sample_idx))
    if total < size:
        raise ValueError(
            f'The data loaders gave {total} of {size} samples. An evaluation '
            'needs all of them: drop_last=False and a sampler that covers '
            'the test set.'
        )
    known: set[Any] = {value for own in sample_idx for value in own}
    if None not in known and len(known) == size:
        number = {value: i for i, value in enumerate(sorted(known))}
        return [[number[value] for value in own] for own in sample_idx]
    world = len(sample_idx)
    if any(len(own) != -(-size // world) for own in sample_idx):
        each = ', '.join(str(len(own)) for own in sample_idx)
        raise ValueError(
            f'The order of the {size} samples of the test set cannot be told: '
            f'the processes have {each} of them, with {len(known)} different '
            'values of sample_idx. Keep sample_idx among the meta_keys of '
            'PackRetrievalInputs; for a dataset made of several, which number '
            'their samples alike, leave out mmtpr.WholeBatchSampler '
            '(batch_sampler=None in the data loader).'
        )
    return [
        [(rank + world * place) % size for place in range(len(own))]
        for rank, own in enumerate(sample_idx)
    ]


def join_samples(
    parts: Sequence[Sequence[T]], numbers: Sequence[Sequence[int]], size: int
) -> list[T]:
    """Put what belongs to the samples of all processes in order.

    Args:
        parts (Sequence[Sequence]): One entry a sample, of each process.
        numbers (Sequence[Sequence[int]]): See :func:`number_samples`.
        size (int): Samples of the test set.

    Returns:
        list: One entry a sample of the test set.
    """
    joined: dict[int, T] = {}
    for part, own in zip(parts, numbers, strict=True):
        for entry, number in zip(part, own, strict=True):
            joined.setdefault(number, entry)
    return [joined[number] for number in range(size)]
