"""From a config and a checkpoint to a model that embeds."""

import torch
from mmengine.config import Config
from torch import nn

from mmtpr.checkpoints.base_weights import is_head
from mmtpr.registry import MODELS
from mmtpr.utils import load_weights
from mmtpr.utils.errors import LaunchError

from .adapters import (
    adapter_state_dict,
    load_adapter_state_dict,
    load_trainable_state_dict,
    trainable_state_dict,
)


def build_model(
    cfg: Config, checkpoint: str | None, device: str | torch.device
) -> nn.Module:
    """Build a config's model with weights.

    The heads of losses are not needed to score and may differ.

    Args:
        cfg (Config): The config.
        checkpoint (str | None): Checkpoint file, or one of the adapters or
            the trainable weights only. None keeps what the model loads by
            itself.
        device (str | torch.device): Where to put it.

    Returns:
        nn.Module: The model in evaluation mode.

    Raises:
        LaunchError: If the checkpoint is of another model.
    """
    # Whatever is not loaded is at least the same in every process and run.
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    if checkpoint is not None:
        _load(model, checkpoint)
    elif any(getattr(part, 'init_cfg', None) for part in model.modules()):
        model.init_weights()
    return model.to(device).eval()


def _load(model: nn.Module, checkpoint: str) -> None:
    content = load_weights(checkpoint)
    state = content.get('state_dict', content)
    if _load_tuned_part(model, state):
        return
    current = model.state_dict()
    state = {
        name: value
        for name, value in state.items()
        if not is_head(name)
        or (name in current and current[name].shape == value.shape)
    }
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise LaunchError(
            f'The checkpoint "{checkpoint}" does not fit the model: {error}'
        ) from error
    missing = [name for name in missing if not is_head(name)]
    for names, what in ((missing, 'lacks'), (unexpected, 'has unknown')):
        if names:
            raise LaunchError(
                f'The checkpoint "{checkpoint}" {what} {len(names)} weights, '
                f'e.g. {", ".join(names[:3])}. Is it of this config?'
            )


def _load_tuned_part(model: nn.Module, state: dict) -> bool:
    """Load a checkpoint of the adapters or trainable weights only."""
    for keys_of, load in (
        (adapter_state_dict, load_adapter_state_dict),
        (trainable_state_dict, load_trainable_state_dict),
    ):
        if state and set(state) == set(keys_of(model)):
            load(model, state)
            return True
    return False
