"""What each pair of a dataset costs in a model, in any number of processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, broadcast, get_dist_info
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmtpr.models.retrievers.pair_losses import pair_losses, pairwise_names
from mmtpr.utils.errors import NonFiniteLossError
from mmtpr.utils.progress import progress
from mmtpr.utils.unwrap import unwrap


class _PlainPairs(Dataset):
    """The pairs of a dataset, read without chance."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset.plain_sample(index)


def plan_batches(number: int, batch_size: int, seed: int) -> np.ndarray:
    """Put pairs into batches, the same for any number of processes.

    What a pair costs depends on what it is told from. So all batches are
    equally large, and their pairs are drawn: neighbours in a dataset are often
    of one person. The last batch is filled up with pairs of the first ones.

    Args:
        number (int): Pairs (N).
        batch_size (int): Pairs of a batch (B).
        seed (int): Of the draw.

    Returns:
        ndarray: Indices of shape (batches, B), with B = N if that is less.
    """
    batch_size = min(batch_size, number)
    order = np.random.default_rng(seed).permutation(number)  # (N,)
    batches = -(-number // batch_size)
    return np.resize(order, (batches, batch_size))


@torch.no_grad()
def dataset_losses(
    model: nn.Module,
    dataset: Any,
    loader: DataLoader,
    optim_wrapper: Any = None,
    batch_size: int = 128,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Compute the losses of all pairs, in evaluation mode, without gradient.

    Batches are planned from the whole dataset and dealt to the processes, all
    of which must call this at once. Buffers, such as the statistics of batch
    norms, are those of the first process, as they are after a resume. Every
    module is left in the mode in which it was.

    Args:
        model (nn.Module): The model of a runner, wrapped or not.
        dataset (SelectedPairsDataset): N pairs.
        loader (DataLoader): The one of the training: how many workers, and
            how batches are collated.
        optim_wrapper (OptimWrapper, optional): The one of the training: its
            precision is taken. Defaults to None.
        batch_size (int): Pairs told from each other. Defaults to 128.
        seed (int): Of who they are. Defaults to 0.

    Returns:
        dict[str, ndarray]: Name of the loss -> losses of shape (N, ),
        float32, the same in all processes.

    Raises:
        ValueError: If no loss of the model is one of single pairs.
        NonFiniteLossError: If a loss is NaN or infinite.
    """
    rank, world_size = get_dist_info()
    retriever: Any = unwrap(model)
    names = pairwise_names(retriever)
    plan = plan_batches(len(dataset), batch_size, seed)
    mine = range(rank, len(plan), world_size)
    table = torch.zeros(len(names), len(dataset))  # (L, N)
    if world_size > 1:
        for buffer in retriever.buffers():
            broadcast(buffer)
    with _evaluating(model), progress(len(mine), 'Losses of pairs') as done:
        batches = _load([plan[i].tolist() for i in mine], dataset, loader)
        for number, batch in zip(mine, batches, strict=True):
            data = retriever.data_preprocessor(batch, False)
            with _precision(optim_wrapper, model):
                losses = pair_losses(retriever, **data)
            # Pairs that only fill the last batch have their losses already.
            fresh = min(plan.shape[1], len(dataset) - number * plan.shape[1])
            rows = torch.from_numpy(plan[number, :fresh])  # (B,)
            for row, name in zip(table, names, strict=True):
                row[rows] = losses[name][:fresh].float().cpu()
            done(1)
    all_reduce(table)  # each pair has its losses from one process, else 0
    _check_finite(table, names)
    return dict(zip(names, table.numpy(), strict=True))


def _load(
    batches: Sequence[list[int]], dataset: Any, loader: DataLoader
) -> DataLoader:
    return DataLoader(
        _PlainPairs(dataset),
        batch_sampler=batches,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        # Random state of its own: that of the training is left alone.
        generator=torch.Generator().manual_seed(0),
        multiprocessing_context=loader.multiprocessing_context,
    )


def _precision(optim_wrapper: Any, model: nn.Module) -> Any:
    """What the forward pass of a training step runs in."""
    if isinstance(optim_wrapper, OptimWrapper):
        return optim_wrapper.optim_context(model)
    return nullcontext()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode; then each module as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        model.train(modes[0][1])
        for module, training in modes:
            module.training = training


def _check_finite(table: torch.Tensor, names: list[str]) -> None:
    bad = ~torch.isfinite(table)  # (L, N)
    if bad.any():
        counts = zip(names, bad.sum(dim=1).tolist(), strict=True)
        listed = ', '.join(f'{number} of "{name}"' for name, number in counts)
        raise NonFiniteLossError(
            f'Losses of single pairs are NaN or infinite ({listed}; the set '
            f'has {table.shape[1]} pairs): the model diverged. Lower the '
            'learning rate, or resume from an earlier checkpoint.'
        )
