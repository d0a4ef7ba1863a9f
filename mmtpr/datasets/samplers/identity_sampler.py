"""Batches of several captions or images of each person."""

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmtpr.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class IdentitySampler(Sampler):
    """Draw P identities with K samples each for every batch.

    In an epoch each identity gives ``ceil(samples / K)`` groups of K, so
    that every sample is seen; an identity with fewer than K samples repeats
    some. Groups are laid out so that no identity comes twice in the batch of
    all processes together, and each process takes its own P of them. All
    processes get equally many full batches; the few groups that fill none
    are left out, others in every epoch.

    Args:
        dataset (Sized): Dataset or wrapper whose ``get_data_info(i)`` gives
            a dict with ``pid``.
        num_pids (int): Identities in a batch of one process (P).
        num_instances (int): Samples of each (K).
        seed (int, optional): Seed, the same in all processes. Defaults to
            None, one agreed on by the processes.
        shuffle (bool): Whether to draw anew in every epoch. Defaults to
            True.
        batch_size (int, optional): Batch size of the data loader of one
            process, to be checked against P * K. Defaults to None.

    Raises:
        ValueError: If there are fewer identities than all processes need for
            one batch, or ``batch_size`` is not P * K.

    Examples:
        >>> train_dataloader = dict(
        ...     batch_size=64,
        ...     sampler=dict(
        ...         type='mmtpr.IdentitySampler',
        ...         num_pids=16,
        ...         num_instances=4,
        ...     ),
        ... )
    """

    def __init__(
        self,
        dataset: Sized,
        num_pids: int,
        num_instances: int,
        seed: int | None = None,
        shuffle: bool = True,
        batch_size: int | None = None,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.num_pids, self.num_instances = num_pids, num_instances
        if num_pids < 1 or num_instances < 1:
            raise ValueError(
                f'num_pids={num_pids} and num_instances={num_instances} '
                'must be at least 1.'
            )
        if batch_size is not None and batch_size != num_pids * num_instances:
            raise ValueError(
                f'batch_size={batch_size} must be num_pids * num_instances ='
                f' {num_pids} * {num_instances}.'
            )
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle = shuffle
        self.epoch = 0
        self._groups = _indices_by_pid(dataset)
        self.num_batches = self._count_batches()

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of this process, batch after batch."""
        epoch = self.epoch if self.shuffle else 0
        rng = np.random.default_rng([self.seed, epoch])
        batches = self._batches(rng)
        mine = slice(
            self.rank * self.num_pids, (self.rank + 1) * self.num_pids
        )
        return iter(batches[:, mine].reshape(-1).tolist())

    def __len__(self) -> int:
        """Number of samples of this process in an epoch."""
        return self.num_batches * self.num_pids * self.num_instances

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to draw.

        Args:
            epoch (int): Number of the epoch.
        """
        self.epoch = epoch

    def _count_batches(self) -> int:
        """Most batches of all processes with no identity twice in one."""
        width = self.num_pids * self.world_size
        if len(self._groups) < width:
            raise ValueError(
                f'IdentitySampler needs {width} identities for a batch '
                f'(num_pids={self.num_pids} in {self.world_size} processes), '
                f'the dataset has {len(self._groups)}.'
            )
        sizes = np.array([len(group) for group in self._groups])
        counts = -(-sizes // self.num_instances)
        low, high = 1, int(counts.sum()) // width
        while low < high:  # the largest number of batches that can be filled
            middle = (low + high + 1) // 2
            if np.minimum(counts, middle).sum() >= middle * width:
                low = middle
            else:
                high = middle - 1
        return low

    def _batches(self, rng: np.random.Generator) -> np.ndarray:
        """Indices of shape (batches, processes * P, K).

        Groups are listed identity by identity and dealt to the batches in
        turn. As no identity has more groups than there are batches, it meets
        each batch at most once.
        """
        number = len(self._groups)
        order = rng.permutation(number) if self.shuffle else range(number)
        width = self.num_pids * self.world_size
        wanted = self.num_batches * width
        groups: list[np.ndarray] = []
        for i in order:
            groups.extend(self._chunks(self._groups[i], rng))
            if len(groups) >= wanted:
                break
        dealt = np.stack(groups[:wanted])
        dealt = dealt.reshape(width, self.num_batches, self.num_instances)
        dealt = dealt.transpose(1, 0, 2)
        if self.shuffle:
            dealt = dealt[rng.permutation(self.num_batches)]
        return dealt

    def _chunks(
        self, indices: np.ndarray, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Cut the samples of an identity into groups of K."""
        size = self.num_instances
        drawn = rng.permutation(indices) if self.shuffle else indices
        if len(drawn) < size:
            return [np.resize(drawn, size)]
        chunks = [
            drawn[start : start + size]
            for start in range(0, len(drawn) - size + 1, size)
        ]
        if len(drawn) % size:
            chunks.append(drawn[-size:])
        return chunks[: self.num_batches]


def _indices_by_pid(dataset: Sized) -> list[np.ndarray]:
    """Sample indices of each identity, in the order of the identities."""
    get_data_info = getattr(dataset, 'get_data_info', None)
    if get_data_info is None:
        raise TypeError(
            f'IdentitySampler needs a dataset with get_data_info, got '
            f'{type(dataset).__name__}.'
        )
    try:
        found = [get_data_info(i)['pid'] for i in range(len(dataset))]
    except KeyError:
        raise ValueError(
            'IdentitySampler needs samples with the key "pid"; those of '
            f'{type(dataset).__name__} have none.'
        ) from None
    pids = np.array(found, dtype=np.int64)
    order = np.argsort(pids, kind='stable')
    starts = np.flatnonzero(np.diff(pids[order])) + 1
    return np.split(order, starts)
