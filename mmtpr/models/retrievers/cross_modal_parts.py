"""Helpers of a cross-modal retriever: use of its encoder, score tables."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mmtpr.models.losses import RetrievalLoss


def uses_of(losses: Iterable[RetrievalLoss]) -> set[str]:
    """Collect the uses that losses make of a cross encoder.

    A parameter that trains but gets no gradient stops distributed training,
    so an encoder freezes what is not used.

    Args:
        losses (Iterable[RetrievalLoss]): All losses, which declare what they
            train by ``cross_heads``, ``trains_features`` and
            ``trains_scale``.

    Returns:
        set[str]: See :meth:`CrossEncoder.freeze_unused`.
    """
    used: set[str] = set()
    for loss in losses:
        used.update(getattr(loss, 'cross_heads', ()))
        used.update(['features'] if loss.trains_features else [])
        used.update(['temperature'] if loss.trains_scale else [])
    return used


def score_table(
    score: Callable[[Tensor, Tensor], Tensor],
    shape: tuple[int, int],
    chunk_size: int,
    device: torch.device,
) -> Tensor:
    """Score every caption with every image, some pairs at a time.

    Args:
        score (Callable[[Tensor, Tensor], Tensor]): Takes indices of captions
            and of images, of shape (P, ), and gives scores (P, ).
        shape (tuple[int, int]): Number K of captions and M of images.
        chunk_size (int): Largest P.
        device (torch.device): Where the indices are wanted.

    Returns:
        Tensor: Of shape (K, M).
    """
    pairs = torch.arange(shape[0] * shape[1], device=device)
    scores = [
        score(some // shape[1], some % shape[1])
        for some in pairs.split(chunk_size)
    ]
    return torch.cat(scores).view(shape)
