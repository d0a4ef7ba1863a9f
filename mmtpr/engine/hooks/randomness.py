"""Random state that a resumed run finds again."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmtpr.registry import HOOKS
from mmtpr.utils.seeding import derive_seed, seed_everything, seed_worker
from mmtpr.utils.warn import warn

# Streams of random numbers, so that data and model never share one.
_MODEL, _DATA = 0, 1


@HOOKS.register_module()
class ReproducibleRandomnessHook(Hook):
    """Derive all random state from the seed, the epoch and the rank.

    mmengine does not save random state, so a resumed run repeats the dropout
    and augmentation of its first epoch, and its data-loader workers draw the
    same numbers in every epoch. With this hook a run killed between two
    checkpoints and resumed continues as the run that was never killed would
    have: on a CPU with bit-identical weights, on a GPU as far as its kernels
    are deterministic (``randomness.deterministic=True``).

    *Epoch-based loops* are seeded before each epoch, workers included. Exact
    from any checkpoint written at the end of an epoch, for any number of
    workers (the same number in both runs).

    *Iteration-based loops* are seeded before each batch is fetched and before
    each step. mmengine resumes them by fetching and dropping the batches of
    the past, which brings workers back to their state at the price of the
    time it takes; exact if ``randomness.seed`` is in the config.

    Persistent workers would carry their random state over from the epoch
    before, so they are restarted.

    Args:
        restart_workers (bool): Whether to restart persistent workers before
            each epoch. If False they are kept, with a warning that resuming
            is not exact. Defaults to True.
    """

    # The last to act before an epoch: nothing else draws numbers after it.
    priority = 'LOWEST'

    def __init__(self, restart_workers: bool = True) -> None:
        self.restart_workers = restart_workers

    def before_train(self, runner) -> None:
        """Settle the seed and, in an iteration-based loop, the data.

        Args:
            runner (Runner): The runner of the training process.
        """
        self.rank = get_rank()
        self.seed = base_seed(runner, self.rank)
        loop = runner.train_loop
        self.by_iter = isinstance(loop, IterBasedTrainLoop)
        if self.by_iter:
            if runner._randomness_cfg.get('seed') is None:
                warn('randomness.seed is not set: resuming is not exact.')
            loop.dataloader_iterator = _SeededIterator(
                loop.dataloader_iterator, self.seed, self.rank
            )
            return
        _reseed_sampler(runner, self.seed)
        if loop.dataloader.persistent_workers:
            self._announce_persistent_workers()

    def before_train_epoch(self, runner) -> None:
        """Seed this process and the workers of the coming epoch.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self.by_iter:
            return
        numbers = (self.seed, runner.epoch, self.rank)
        loader = runner.train_loop.dataloader
        _seed_workers(loader, derive_seed(*numbers, _DATA))
        if loader.persistent_workers and self.restart_workers:
            loader._iterator = None
        seed_everything(derive_seed(*numbers, _MODEL))

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed this process for one step of an iteration-based loop.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (Any): The batch.
        """
        if self.by_iter:
            numbers = (self.seed, runner.iter, self.rank, _MODEL)
            seed_everything(derive_seed(*numbers))

    def _announce_persistent_workers(self) -> None:
        if self.restart_workers:
            warn(
                'persistent_workers=True: workers are restarted every epoch '
                'all the same, or resuming would not be exact.'
            )
        else:
            warn(
                'persistent_workers=True with restart_workers=False: workers '
                'keep their random state over epochs, so a resumed run '
                'differs from one that was never interrupted.'
            )


class _SeededIterator:
    """Seed this process before each batch is fetched."""

    def __init__(self, iterator: Iterator, seed: int, rank: int) -> None:
        self._iterator = iterator
        self._numbers = (seed, rank)
        self._count = 0

    def __iter__(self) -> '_SeededIterator':
        return self

    def __next__(self) -> Any:
        seed, rank = self._numbers
        seed_everything(derive_seed(seed, self._count, rank, _DATA))
        self._count += 1
        return next(self._iterator)

    def skip_iter(self, num_iters: int) -> None:
        """Drop batches; onedl-mmengine calls this when it resumes.

        Its own way skips without loading, and so without bringing the
        workers' random state forward.
        """
        for _ in range(num_iters):
            next(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)


def base_seed(runner, rank: int) -> int:
    """Tell the seed that all processes share.

    After a resume it is the seed of the checkpoint.
    """
    seed = runner.seed
    if runner._randomness_cfg.get('diff_rank_seed', False):
        seed -= rank
    return seed


def _reseed_sampler(runner, seed: int) -> None:
    """Give the sampler the seed of the checkpoint.

    Without a seed in the config the sampler was built with a fresh one. A
    seed that the config gives to the sampler itself stays.
    """
    loader_cfg = runner.cfg.get('train_dataloader')
    if not isinstance(loader_cfg, dict):
        return
    if 'seed' in (loader_cfg.get('sampler') or {}):
        return
    loader = runner.train_loop.dataloader
    inner: Any = getattr(loader.batch_sampler, 'sampler', None)
    for sampler in (loader.sampler, inner):
        if getattr(sampler, 'seed', None) is not None:
            sampler.seed = seed


def _seed_workers(loader: DataLoader, seed: int) -> None:
    """Put :func:`seed_worker` before the user's ``worker_init_fn``."""
    then: Any = loader.worker_init_fn
    function = getattr(then, 'func', then)
    if function is seed_worker:
        then = then.keywords.get('then')
    elif getattr(function, '__module__', '') == 'mmengine.dataset.utils':
        then = None  # seeds workers alike in every epoch
    loader.worker_init_fn = partial(seed_worker, seed=seed, then=then)
