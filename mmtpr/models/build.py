"""From a config and a checkpoint to a model that embeds."""

import logging
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from mmtpr.checkpoints import Checkpoint
from mmtpr.checkpoints.completeness import fits_shape
from mmtpr.checkpoints.coverage import Coverage, untrained_random
from mmtpr.checkpoints.fit import count_keys
from mmtpr.checkpoints.function_facts import differing_facts
from mmtpr.checkpoints.read import read_named
from mmtpr.checkpoints.spared_files import spare_pretrained
from mmtpr.registry import MODELS
from mmtpr.text.config_tokenizers import token_facts
from mmtpr.utils.console import init_quietly
from mmtpr.utils.errors import LaunchError


def build_model(
    cfg: Config,
    checkpoint: str | None,
    device: str | torch.device,
    allow_partial: bool = False,
) -> nn.Module:
    """Build a config's model with weights, to embed with it.

    The heads of losses are not needed and may differ. What ``pretrained``
    names is read only where the checkpoint does not hold it.

    Args:
        cfg (Config): The config.
        checkpoint (str | None): Checkpoint file: full, or of a part of the
            model where the config brings the rest. None takes what the model
            loads by itself.
        device (str | torch.device): Where to put it.
        allow_partial (bool): Whether a checkpoint that lacks trained weights
            will do. Defaults to False.

    Returns:
        nn.Module: The model in evaluation mode.

    Raises:
        LaunchError: If the checkpoint is of another model or lacks trained
            weights, or weights would be random.
    """
    # What may be random, such as the heads of losses, is at least the same in
    # every process and run.
    torch.manual_seed(0)
    if checkpoint is None:
        model = _build(cfg.model)
        _refuse_random(model, cfg.model)
    else:
        found = read_named(checkpoint)
        model = _build(spare_pretrained(cfg.model, found))
        load_for_use(model, found, cfg.model, allow_partial, token_facts(cfg))
    return model.to(device).eval()


def load_for_use(
    model: nn.Module,
    found: Checkpoint,
    cfg: Any,
    allow_partial: bool = False,
    tokens: dict | None = None,
) -> Coverage:
    """Load a checkpoint into a model that is to be used, not trained.

    Args:
        model (nn.Module): The model, with what its config brings.
        found (Checkpoint): The checkpoint.
        cfg (dict): Config of the model.
        allow_partial (bool): See :func:`build_model`.
        tokens (dict, optional): What the config tells of its tokenizer.

    Returns:
        Coverage: What the checkpoint held and the config brought.

    Raises:
        LaunchError: See :func:`build_model`.
    """
    differing_facts(found.meta, model, found.path, tokens)
    cover = Coverage.of(model, found.state, cfg, found.meta)
    for line in cover.require(found.path, allow_partial):
        print_log(line, logger='current', level=logging.WARNING)
    own = model.state_dict()
    # Heads of other data may have another shape.
    state = {
        key: value
        for key, value in found.state.items()
        if key in own and fits_shape(key, value, own[key])
    }
    model.load_state_dict(state, strict=False)
    return cover


def _build(cfg: Any) -> nn.Module:
    model = MODELS.build(cfg)
    if any(getattr(part, 'init_cfg', None) for part in model.modules()):
        init_quietly(model)
    return model


def _refuse_random(model: nn.Module, cfg: Any) -> None:
    bare = untrained_random(model, cfg)
    if bare:
        raise LaunchError(
            'No checkpoint was given, and the config brings not all weights: '
            f'{count_keys("missing", bare)} would be random. Name a '
            'checkpoint, or set pretrained in the config.'
        )
