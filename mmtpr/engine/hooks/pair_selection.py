"""Pairs that the model in training holds for right ones."""

import time
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmtpr.datasets.pair_selection import PairSelector, SelectedPairsDataset
from mmtpr.engine.dataset_losses import dataset_losses
from mmtpr.filtering.consensus import DOUBTFUL, RIGHT, WRONG
from mmtpr.models.retrievers.pair_losses import pairwise_names
from mmtpr.registry import HOOKS
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.numbers import check_whole
from mmtpr.utils.seeding import derive_seed
from mmtpr.utils.unwrap import unwrap
from mmtpr.utils.warn import warn

from .randomness import base_seed

# Streams of random numbers.
_BATCHES, _FIT, _COIN = 71, 72, 73
#: In a checkpoint: the classes of all pairs and when they were made.
_STATE = 'pair_selection'


@HOOKS.register_module()
class PairSelectionHook(Hook):
    """Ask the model which pairs train, before each epoch.

    For a :class:`mmtpr.datasets.SelectedPairsDataset` whose selector asks the
    model, as ``mmtpr.ConsensusDivision``; idle with one of scores on disk. The
    losses of all pairs are computed in evaluation mode, by transforms without
    chance; the selector makes classes of them; and each sample of a batch gets
    its ``label_hat`` in this process, so that workers, persistent ones too,
    have nothing to be told.

    It costs a forward pass over the training set each time. The model is the
    one that trains, in the precision in which it trains; averages of an
    EMAHook are not asked.

    With the same weights, classes and the coin for doubtful pairs are the same
    in any number of processes. Classes are in checkpoints: a resumed run has
    those of a run that was never stopped.

    In an iteration-based loop ``start`` and ``interval`` count iterations.

    Args:
        start (int): Epochs in which all pairs train first. Defaults to 0.
        interval (int, optional): Epochs between two passes; the coin is thrown
            in each epoch. Defaults to None: 1; in an iteration-based loop the
            iterations in which so many pairs are seen as there are.
        batch_size (int): Pairs of the batches in which losses are computed,
            whatever the batch of the training. Defaults to 128.

    Examples:
        >>> custom_hooks = [dict(type='mmtpr.PairSelectionHook', start=1)]
    """

    # Before ReproducibleRandomnessHook, which seeds what follows.
    priority = 'NORMAL'

    dataset: SelectedPairsDataset
    selector: PairSelector

    def __init__(
        self,
        start: int = 0,
        interval: int | None = None,
        batch_size: int = 128,
    ) -> None:
        check_whole('start', start, 0)
        if interval is not None:
            check_whole('interval', interval)
        check_whole('batch_size', batch_size, 2)  # a pair is told from others
        self.start, self.interval = start, interval
        self.batch_size = batch_size
        self._classes: np.ndarray | None = None
        self._made = -1
        self._trained: np.ndarray | None = None

    def before_train(self, runner: Runner) -> None:
        """Check dataset and losses.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            LaunchError: If the dataset has no marks, the classes of a
                checkpoint are of another one, or no loss is one of single
                pairs.
        """
        loop = runner.train_loop
        self.dataset = _selected(loop.dataloader.dataset)
        self.selector = self.dataset.selector
        self.dataset.full_init()
        self.by_iter = isinstance(loop, IterBasedTrainLoop)
        self._every = self.interval or (
            _round(loop.dataloader) if self.by_iter else 1
        )
        self._idle = not self.selector.needs_losses
        self._check_losses(runner)
        if self._idle:
            return
        if self._classes is not None and len(self._classes) != len(
            self.dataset
        ):
            raise LaunchError(
                f'The checkpoint knows the classes of {len(self._classes)} '
                f'pairs, but the training set has {len(self.dataset)}: it is '
                'another one. Resume with the former data, or start from the '
                'weights with load_from.'
            )
        if self.by_iter and not self._due(runner.iter):
            self._choose(runner, max(self._made, 0))

    def before_train_epoch(self, runner: Runner) -> None:
        """Choose the pairs of an epoch.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self._idle or self.by_iter:
            return
        if self._due(runner.epoch):
            self._judge(runner, runner.epoch)
        self._choose(runner, runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Mark the samples of a batch.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict, optional): The batch.
        """
        if self._idle:
            return
        if self.by_iter and self._due(runner.iter):
            self._judge(runner, runner.iter)
            self._choose(runner, runner.iter)
        assert self._trained is not None
        _mark(data_batch, self._trained)

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the classes.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What is about to be saved.
        """
        if self._classes is not None:
            checkpoint[_STATE] = dict(
                classes=torch.from_numpy(self._classes), made=self._made
            )

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Take the classes of a run that goes on.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read.
        """
        state = checkpoint.get(_STATE)
        if runner._resume and state:
            self._classes = state['classes'].cpu().numpy()
            self._made = int(state['made'])

    def _due(self, now: int) -> bool:
        """Tell whether the model is asked in this epoch or iteration."""
        if now < self.start:
            return False
        return self._classes is None or (now - self.start) % self._every == 0

    def _judge(self, runner: Runner, now: int) -> None:
        """Ask the model for the classes of all pairs."""
        began, seed = time.perf_counter(), base_seed(runner, get_rank())
        losses = dataset_losses(
            runner.model,
            self.dataset,
            runner.train_loop.dataloader,
            runner.optim_wrapper,
            self.batch_size,
            derive_seed(seed, now, _BATCHES),
        )
        classes = self.selector.judge(
            self.dataset, losses, derive_seed(seed, now, _FIT)
        )
        shared = torch.from_numpy(classes)
        if get_world_size() > 1:  # processors may round a fit differently
            broadcast(shared)
        self._classes, self._made = shared.numpy(), now
        runner.logger.info(
            f'{len(classes)} pairs were judged by {", ".join(losses)} in '
            f'{time.perf_counter() - began:.1f} s.'
        )

    def _choose(self, runner: Runner, now: int) -> None:
        """Make of the classes what trains now."""
        if self._classes is None:
            self._trained = np.ones(len(self.dataset), dtype=bool)
            unit = 'iterations' if self.by_iter else 'epochs'
            runner.logger.info(
                f'All {len(self.dataset)} pairs train in the first '
                f'{self.start} {unit}.'
            )
            return
        seed = derive_seed(base_seed(runner, get_rank()), now, _COIN)
        self._trained = self.selector.trained(self._classes, seed)
        counts = np.bincount(self._classes, minlength=3)
        numbers = dict(
            pairs_right=counts[RIGHT],
            pairs_doubtful=counts[DOUBTFUL],
            pairs_wrong=counts[WRONG],
            pairs_trained=self._trained.sum(),
        )
        runner.message_hub.update_scalars(
            {f'train/{name}': int(n) for name, n in numbers.items()}
        )
        runner.logger.info(
            f'Of {len(self.dataset)} pairs {counts[RIGHT]} are right, '
            f'{counts[DOUBTFUL]} doubtful and {counts[WRONG]} wrong; '
            f'{numbers["pairs_trained"]} train.'
        )

    def _check_losses(self, runner: Runner) -> None:
        """Say which losses go on to learn from all pairs."""
        retriever: Any = unwrap(runner.model)
        try:
            names = pairwise_names(retriever)
        except ValueError as error:
            who = type(self.selector).__name__
            raise LaunchError(f'{who} has no use here. {error}') from error
        others = [name for name in retriever.losses if name not in names]
        if others:
            warn(
                f'Pairs that do not train are left out of {", ".join(names)} '
                f'alone: {", ".join(others)} go on to learn from all of them, '
                'because they are not made of losses of single pairs.'
            )


def _selected(dataset: Any) -> SelectedPairsDataset:
    if isinstance(dataset, SelectedPairsDataset):
        return dataset
    raise LaunchError(
        'PairSelectionHook marks the pairs of a mmtpr.SelectedPairsDataset, '
        f'but the training set is a {type(dataset).__name__}: put a '
        'SelectedPairsDataset around all others, or take the hook out.'
    )


def _round(loader: Any) -> int:
    """Iterations in which as many pairs are seen as there are."""
    batch = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 1)
    return max(1, len(loader.dataset) // (batch * get_world_size()))


def _mark(batch: Any, trained: np.ndarray) -> None:
    """Put ``label_hat`` on the samples of a collated batch."""
    marks = []
    for sample in batch['data_samples']:
        mark = sample.get('label_hat')
        if mark != 0:
            mark = int(trained[sample.get('pair_index')])
            sample.set_metainfo(dict(label_hat=mark))
        marks.append(mark)
    inputs = batch.get('inputs')
    if isinstance(inputs, dict) and 'label_hat' in inputs:
        inputs['label_hat'] = torch.tensor(marks)  # (B,)
