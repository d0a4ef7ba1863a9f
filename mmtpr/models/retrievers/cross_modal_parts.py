"""Parts of a cross-modal retriever: checks, freezing, temperature, tables."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mmtpr.models.losses import RetrievalLoss

_BOUNDS = (0.001, 0.5)
_NEEDED = ('fuse', 'match', 'image_keys_values', 'temperature')


def check_cross_encoder(encoder: nn.Module) -> None:
    """Check that an encoder can judge pairs.

    Args:
        encoder (nn.Module): The encoder.

    Raises:
        TypeError: If it cannot.
    """
    absent = [name for name in _NEEDED if not hasattr(encoder, name)]
    if absent:
        raise TypeError(
            f'{type(encoder).__name__} is no cross encoder: it has '
            f'no {", ".join(absent)}. Use mmtpr.TextPersonRetriever for a '
            'dual encoder.'
        )


def freeze_unused(encoder: nn.Module, losses: Iterable[RetrievalLoss]) -> None:
    """Freeze the parts of a cross encoder that no loss trains.

    A parameter that trains but gets no gradient stops distributed training.

    Args:
        encoder (nn.Module): The cross encoder.
        losses (Iterable[RetrievalLoss]): All losses, which declare what they
            train by ``cross_heads``, ``trains_features`` and
            ``trains_scale``.
    """
    losses = list(losses)
    heads = {head for loss in losses for head in loss.cross_heads}
    if 'match' not in heads:
        encoder.itm_head.requires_grad_(False)
    if 'words' not in heads:
        words = encoder.bert.get_input_embeddings().weight
        for parameter in encoder.bert.cls.parameters():
            if parameter is not words:
                parameter.requires_grad_(False)
    if not heads:
        encoder.cross_layers.requires_grad_(False)
    if not any(loss.trains_features for loss in losses):
        encoder.image_projection.requires_grad_(False)
        encoder.text_projection.requires_grad_(False)
    if not any(loss.trains_scale for loss in losses):
        encoder.temperature.requires_grad_(False)


def bounded_scale(temperature: Tensor) -> Tensor:
    """Bring a temperature back into 0.001..0.5 and invert it.

    The parameter itself is bounded, as in the release: a bound in the graph
    would have no gradient, and the temperature would stay there.

    Args:
        temperature (Tensor): Divisor of the cosines, changed in place.

    Returns:
        Tensor: 1 / temperature.
    """
    with torch.no_grad():
        temperature.clamp_(*_BOUNDS)
    return 1 / temperature


def score_table(
    score: Callable[[Tensor, Tensor], Tensor],
    shape: tuple[int, int],
    chunk_size: int,
    device: torch.device,
) -> Tensor:
    """Score every caption with every picture, some pairs at a time.

    Args:
        score (Callable[[Tensor, Tensor], Tensor]): Takes indices of captions
            and of pictures, of shape (P, ), and gives scores (P, ).
        shape (tuple[int, int]): Number K of captions and M of pictures.
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
