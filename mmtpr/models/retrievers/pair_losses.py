"""What each pair of a batch costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmtpr.models.losses import PairwiseLoss
from mmtpr.structures import RetrievalDataSample


def marks_readers(losses: Mapping[str, Any]) -> list[str]:
    """List the losses that leave out pairs whose ``label_hat`` is 0.

    Args:
        losses (Mapping[str, nn.Module]): Losses by name.

    Returns:
        list[str]: The names of those made of losses of single pairs.
    """
    return [n for n, loss in losses.items() if isinstance(loss, PairwiseLoss)]


def pairwise_names(retriever: Any) -> list[str]:
    """List the losses of a retriever that are made of losses of single pairs.

    Args:
        retriever (nn.Module): A :class:`mmtpr.TextPersonRetriever`.

    Returns:
        list[str]: Their names, one or more.

    Raises:
        ValueError: If there is none.
    """
    losses = getattr(retriever, 'losses', {})
    names = marks_readers(losses)
    if not names:
        raise ValueError(
            f'None of the losses {", ".join(losses) or "(none)"} of '
            f'{type(retriever).__name__} has losses of single pairs: train '
            'with mmtpr.TALLoss, mmtpr.TRLLoss or mmtpr.ITCLoss.'
        )
    return names


@torch.no_grad()
def pair_losses(
    retriever: Any,
    inputs: dict[str, Any],
    data_samples: Sequence[RetrievalDataSample],
) -> dict[str, Tensor]:
    """Compute the losses of single pairs, without gradient.

    Of an embedding of the encoder as of one of a neck; the mode of the model
    stays as it is, and other processes are not asked. Pairs whose
    ``label_hat`` is 0 get their losses too.

    Args:
        retriever (nn.Module): A :class:`mmtpr.TextPersonRetriever`.
        inputs (dict): Output of its data preprocessor.
        data_samples (Sequence[RetrievalDataSample]): B pairs, with pid.

    Returns:
        dict[str, Tensor]: Name of the loss -> losses of shape (B, ), without
        its weight.

    Raises:
        ValueError: If no loss of the retriever has losses of single pairs,
            or a sample is no pair.
    """
    wanted = pairwise_names(retriever)
    ready = retriever.loss_inputs(inputs, data_samples)
    facts = retriever._pair_facts(ready)
    if ready['image'].dtype == torch.uint8:  # left for parts of a batch
        preprocessor = retriever.data_preprocessor
        ready['image'] = preprocessor.normalise(ready['image'])
    return {
        name: loss.pair_losses(view.features)
        for view in retriever._views(ready, facts)
        for name, loss in view.losses.items()
        if name in wanted and not view.suffix
    }
