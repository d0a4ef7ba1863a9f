"""Construction of a retriever's losses."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmtpr.models.losses import RetrievalLoss
from mmtpr.registry import MODELS


def build_loss(
    name: str, loss: dict | RetrievalLoss, encoder: Any
) -> RetrievalLoss:
    """Build a loss; what it wants to know of the encoder is filled in.

    Args:
        name (str): Its name in the config.
        loss (dict | RetrievalLoss): Its config.
        encoder (Any): The encoder, by contract.

    Returns:
        RetrievalLoss: The loss.

    Raises:
        ValueError: If it is no dict with a type.
    """
    if isinstance(loss, nn.Module):
        return loss
    if not isinstance(loss, Mapping) or 'type' not in loss:
        raise ValueError(
            f'losses.{name}={loss!r}: a loss is a dict with a type. To train '
            'without one that a base has, set losses=dict(_delete_=True, ...) '
            'with those that stay.'
        )
    loss = dict(loss)
    kind = loss['type']
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    for name, attribute in getattr(kind, 'encoder_args', {}).items():
        loss.setdefault(name, getattr(encoder, attribute))
    return MODELS.build(loss)
