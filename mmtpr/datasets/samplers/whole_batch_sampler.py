"""Batches of an evaluation that do not depend on the number of processes."""

from collections.abc import Iterator, Sized

from mmengine.dist import get_dist_info
from torch.utils.data import RandomSampler, Sampler

from mmtpr.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class WholeBatchSampler(Sampler):
    """Deal whole batches, in the order of the dataset, to the processes.

    How features are rounded depends on the batch they are computed in. Here
    the batches are those of one process, whatever the number of processes:
    process r of n has the batches r, r + n, .... No sample is repeated; some
    processes have a batch less than others. Features, and all that is computed
    of them, are then the same to the bit for any number of processes.

    Only the metrics of mmtpr put the samples in order again; mmengine's own
    expect them as its samplers deal them. :class:`SameBatchesHook` stops a
    test in several processes that has others.

    Takes the place of a batch sampler, over a sampler without shuffling.

    Args:
        sampler (Sampler): Filled in by the data loader; tells the dataset.
        batch_size (int): Filled in by the data loader.
        drop_last (bool): Must be False. Defaults to False.

    Raises:
        ValueError: If arguments are out of range, or the sampler shuffles.

    Examples:
        >>> test_dataloader = dict(
        ...     batch_size=128,
        ...     sampler=dict(type='DefaultSampler', shuffle=False),
        ...     batch_sampler=dict(type='mmtpr.WholeBatchSampler'))
    """

    def __init__(
        self, sampler: Sampler, batch_size: int, drop_last: bool = False
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1: {batch_size}.')
        if drop_last:
            raise ValueError(
                'WholeBatchSampler is for evaluation, which needs all '
                'samples: drop_last must be False.'
            )
        if _shuffles(sampler):
            raise ValueError(
                'WholeBatchSampler keeps the order of the dataset: set '
                'shuffle=False in its sampler, or leave it to evaluation.'
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.rank, self.world_size = get_dist_info()
        self._size = len(_dataset_of(sampler))

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of this process, lists of indices."""
        step = self.batch_size * self.world_size
        for start in range(self.rank * self.batch_size, self._size, step):
            stop = min(start + self.batch_size, self._size)
            yield list(range(start, stop))

    def __len__(self) -> int:
        """Number of batches of this process."""
        step = self.batch_size * self.world_size
        return len(range(self.rank * self.batch_size, self._size, step))


def _shuffles(sampler: Sampler) -> bool:
    shuffle = getattr(sampler, 'shuffle', False)
    return bool(shuffle) or isinstance(sampler, RandomSampler)


def _dataset_of(sampler: Sampler) -> Sized:
    # mmengine's samplers name it so, torch's the other way.
    for name in ('dataset', 'data_source'):
        if hasattr(sampler, name):
            return getattr(sampler, name)
    raise ValueError(
        f'WholeBatchSampler cannot tell the dataset of a '
        f'{type(sampler).__name__}; use DefaultSampler.'
    )
