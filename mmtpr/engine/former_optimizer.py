"""States of optimizers from versions that held adapters in another way.

Alpha and beta had no dimension, and were parameters also where they are fixed,
so that the optimizer listed them.
"""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mmtpr.checkpoints.completeness import ADAPTER_NUMBERS, as_number
from mmtpr.models.adapters.base import LowRank


def update_optimizer_state(
    state: dict[str, Any], model: nn.Module, optimizer: Optimizer
) -> int:
    """Bring the state of an optimizer into the form of this version.

    Args:
        state (dict): What ``state_dict`` of the optimizer gave, changed in
            place: ``param_groups`` and ``state``.
        model (nn.Module): The model that goes on training.
        optimizer (Optimizer): Its optimizer.

    Returns:
        int: Entries that were changed or taken out.
    """
    own = [p for group in optimizer.param_groups for p in group['params']]
    saved = [i for group in state['param_groups'] for i in group['params']]
    gone = _former_numbers(own, saved, model)
    for group in state['param_groups']:
        group['params'] = [i for i in group['params'] if i not in gone]
    state['param_groups'] = [g for g in state['param_groups'] if g['params']]
    saved = [i for i in saved if i not in gone]
    changed = len(gone)
    for index, parameter in zip(saved, own, strict=False):
        moments = state['state'].get(index, {})
        for key, value in moments.items():
            if key == 'step' or not isinstance(value, torch.Tensor):
                continue
            moments[key] = as_number(value, parameter)
            changed += moments[key] is not value
    return changed


def _former_numbers(
    own: list[Any], saved: list[int], model: nn.Module
) -> set[int]:
    """Saved parameters that are buffers now: they followed ``lora_B``."""
    fixed = {
        id(module.lora_B): sum(n in module._buffers for n in ADAPTER_NUMBERS)
        for module in model.modules()
        if isinstance(module, LowRank)
    }
    kept: list[bool] = []
    for parameter in own:
        kept += [True, *[False] * fixed.get(id(parameter), 0)]
    if len(kept) != len(saved):  # of this version, or of another model
        return set()
    return {i for i, keep in zip(saved, kept, strict=True) if not keep}
