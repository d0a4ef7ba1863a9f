"""Construction of the parts that a retriever fits to its encoder."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmtpr.models.losses import RetrievalLoss
from mmtpr.registry import MODELS


def build_loss(
    name: str, loss: dict | RetrievalLoss, encoder: Any, neck: Any = None
) -> RetrievalLoss:
    """Build a loss; what it wants to know of the encoder is filled in.

    Args:
        name (str): Its name in the config.
        loss (dict | RetrievalLoss): Its config.
        encoder (Any): The encoder, by contract.
        neck (Any, optional): What makes the embedding that the loss is taken
            of, asked first. Defaults to None: the encoder does.

    Returns:
        RetrievalLoss: The loss.

    Raises:
        ValueError: If it is no dict with a type.
    """
    if isinstance(loss, nn.Module):
        return loss
    filled = fill_from_encoder(f'losses.{name}', loss, encoder, neck)
    return MODELS.build(filled)


def build_losses(
    losses: Mapping[str, Any] | None, encoder: Any, necks: nn.ModuleDict
) -> nn.ModuleDict:
    """Build the losses of a retriever with several embeddings.

    Args:
        losses (Mapping[str, dict], optional): Name -> config of a loss;
            ``embedding``, the name of a neck, says what it is taken of.
        encoder (Any): The encoder, by contract.
        necks (nn.ModuleDict): What makes further embeddings.

    Returns:
        nn.ModuleDict: The losses by name.

    Raises:
        ValueError: If there is no such neck, or see :func:`build_loss`.
    """
    built = nn.ModuleDict()
    for name, loss in (losses or {}).items():
        embedding = None
        if isinstance(loss, Mapping):
            loss = dict(loss)
            embedding = loss.pop('embedding', None)
        if embedding is not None and embedding not in necks:
            raise ValueError(
                f'losses.{name} is to be taken of the embedding '
                f'"{embedding}", but the necks are: '
                f'{", ".join(necks) or "none"}.'
            )
        neck = None if embedding is None else necks[embedding]
        built[name] = build_loss(name, loss, encoder, neck)
        if embedding is not None:
            built[name].embedding = embedding
    return built


def fill_from_encoder(
    name: str, cfg: Any, encoder: Any, neck: Any = None
) -> dict[str, Any]:
    """Fill in what a part of a retriever wants to know of its encoder.

    Args:
        name (str): Where it stands in the config, such as ``losses.id``.
        cfg (Mapping): Config with a type, whose ``encoder_args`` name
            arguments and attributes.
        encoder (Any): Has these attributes.
        neck (Any, optional): Asked before the encoder. Defaults to None.

    Returns:
        dict: The config with the arguments that were not given.

    Raises:
        ValueError: If it is no dict with a type.
    """
    group = name.partition('.')[0]
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        raise ValueError(
            f'{name}={cfg!r}: each of {group} is a dict with a type. To go '
            f'without one that a base has, set {group}=dict(_delete_=True, '
            '...) with those that stay.'
        )
    cfg = dict(cfg)
    kind = cfg['type']
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    for argument, attribute in getattr(kind, 'encoder_args', {}).items():
        source = neck if hasattr(neck, attribute) else encoder
        cfg.setdefault(argument, getattr(source, attribute))
    return cfg
