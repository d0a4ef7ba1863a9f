"""Batches in which triplets of one id meet, but not too many of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmtpr.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class GroupBatchSampler(Sampler):
    """Put up to k samples of an id into a batch, together.

    Drawn at random from many ids, two samples of one id hardly ever meet, and
    soft labels between them have nothing to act on. Here the samples of each
    id come in blocks of k, and no batch of all processes together has more
    than k of one id. Every sample is seen at most once an epoch; what fills
    no batch, and what an id has too much of, is left out, other samples in
    every epoch. All processes get equally many full batches.

    Takes the place of a batch sampler, over any sampler.

    Args:
        sampler (Sampler): Filled in by the data loader; tells dataset and
            epoch.
        batch_size (int): Batch of one process, filled in by the data loader.
        max_per_id (int): Most samples of an id in a batch (k). Defaults to 2.
        id_key (str): Key of the id in an entry of the dataset. Defaults to
            ``'pid'``.
        seed (int, optional): Seed, the same in all processes. Defaults to
            None, that of the sampler or one agreed on by the processes.
        shuffle (bool): Whether to draw anew in every epoch. Defaults to
            True.
        drop_last (bool): Must be True: batches are full. Defaults to True.

    Raises:
        ValueError: If arguments are out of range, entries have no id, or the
            ids do not fill one batch.

    Examples:
        >>> train_dataloader = dict(
        ...     batch_size=256,
        ...     sampler=dict(type='DefaultSampler', shuffle=True),
        ...     batch_sampler=dict(
        ...         type='mmtpr.GroupBatchSampler', max_per_id=2))
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        max_per_id: int = 2,
        id_key: str = 'pid',
        seed: int | None = None,
        shuffle: bool = True,
        drop_last: bool = True,
    ) -> None:
        if batch_size < 1 or max_per_id < 1:
            raise ValueError(
                f'batch_size={batch_size} and max_per_id={max_per_id} must '
                'be at least 1.'
            )
        if not drop_last:
            raise ValueError('GroupBatchSampler gives full batches only.')
        self.rank, self.world_size = get_dist_info()
        self.sampler = sampler
        self.batch_size = batch_size
        self.max_per_id = max_per_id
        self.drop_last = drop_last
        self.shuffle = shuffle
        if seed is None:
            seed = getattr(sampler, 'seed', None)
        self.seed = sync_random_seed() if seed is None else seed
        self._groups = _group(_dataset_of(sampler), id_key)
        self._sizes = np.array([len(group) for group in self._groups])
        self._width = batch_size * self.world_size
        self.num_batches = self._count_batches()

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of this process, lists of indices."""
        epoch = getattr(self.sampler, 'epoch', 0) if self.shuffle else 0
        rng = np.random.default_rng([self.seed, epoch])
        start = self.rank * self.batch_size
        mine = self._batches(rng)[:, start : start + self.batch_size]
        return iter(mine.tolist())

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self.num_batches

    def _most(self, num_batches: int) -> int:
        """Samples of an id that are never more than k in a batch.

        The samples of an id lie in a row and are dealt in blocks of k, the
        last round in blocks of what k leaves of the batch; see
        :meth:`_batches`. Between two blocks of a batch lie those of all
        others.
        """
        smallest = self._width % self.max_per_id or self.max_per_id
        return max(self.max_per_id, (num_batches - 1) * smallest + 1)

    def _count_batches(self) -> int:
        """Most batches that can be filled."""
        low, high = 0, int(self._sizes.sum()) // self._width
        while low < high:
            middle = (low + high + 1) // 2
            usable = np.minimum(self._sizes, self._most(middle)).sum()
            if usable >= middle * self._width:
                low = middle
            else:
                high = middle - 1
        if low < 1:
            raise ValueError(
                f'The {len(self._groups)} ids of the dataset, at most '
                f'{self.max_per_id} samples of each, do not fill a batch of '
                f'{self.batch_size} in {self.world_size} processes. Lower '
                'batch_size or raise max_per_id.'
            )
        return low

    def _batches(self, rng: np.random.Generator) -> np.ndarray:
        """Indices of shape (batches, batch of all processes)."""
        count, most = self.num_batches, self._most(self.num_batches)
        order = np.arange(len(self._groups))
        if self.shuffle:
            order = rng.permutation(order)
        drawn_groups, total, wanted = [], 0, count * self._width
        for i in order:
            group = self._groups[i]
            drawn = rng.permutation(group) if self.shuffle else group
            drawn_groups.append(drawn[:most])
            total += len(drawn_groups[-1])
            if total >= wanted:
                break
        row = np.concatenate(drawn_groups)[:wanted]
        rounds, start = [], 0
        for taken in range(0, self._width, self.max_per_id):
            size = min(self.max_per_id, self._width - taken)
            part = row[start : start + count * size]
            rounds.append(part.reshape(count, size))
            start += count * size
        batches = np.concatenate(rounds, axis=1)
        return batches[rng.permutation(count)] if self.shuffle else batches


def _dataset_of(sampler: Sampler) -> Any:
    dataset = getattr(sampler, 'dataset', None)
    if not hasattr(dataset, 'get_data_info'):
        raise ValueError(
            'GroupBatchSampler needs a sampler over a dataset with '
            f'get_data_info, got {type(sampler).__name__} over '
            f'{type(dataset).__name__}.'
        )
    return dataset


def _group(dataset: Any, id_key: str) -> list[np.ndarray]:
    """Sample indices of each id."""
    try:
        found = [dataset.get_data_info(i)[id_key] for i in range(len(dataset))]
    except KeyError:
        raise ValueError(
            f'GroupBatchSampler needs entries with the key "{id_key}"; those '
            f'of {type(dataset).__name__} have none.'
        ) from None
    ids = np.asarray(found, dtype=np.int64)
    order = np.argsort(ids, kind='stable')
    starts = np.flatnonzero(np.diff(ids[order])) + 1
    return np.split(order, starts)
