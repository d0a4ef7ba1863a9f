"""Checkpoints of spread models, in the format of all others."""

from collections.abc import Iterable
from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.runner.checkpoint import get_state_dict
from torch import nn
from torch.optim import Optimizer

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.sharded import spread_like, whole

from .fully_sharded import FullyShardedDataParallel
from .hooks.compile import CompileHook
from .loops.staged import StagedLoop


def is_spread(model: nn.Module) -> bool:
    """Tell whether a model is spread over processes.

    Args:
        model (nn.Module): The model of a runner.

    Returns:
        bool: True for one in a :class:`FullyShardedDataParallel`.
    """
    return isinstance(model, FullyShardedDataParallel)


def check_parts(
    model: FullyShardedDataParallel, hooks: Iterable[Hook], loops: Iterable
) -> None:
    """Refuse what cannot work with a spread model.

    Args:
        model (FullyShardedDataParallel): The model of a runner.
        hooks (Iterable[Hook]): The runner's.
        loops (Iterable[BaseLoop | dict | None]): Of validation and test.

    Raises:
        LaunchError: If there is an ``EMAHook`` or a ``CompileHook``, or a loop
            that calls parts of the model in another type than that of their
            parameters.
    """
    for loop in loops:
        if (
            model.param_dtype is not None
            and isinstance(loop, StagedLoop)
            and not loop.fp16
        ):
            raise LaunchError(
                f'{type(loop).__name__} calls parts of a model whose '
                'parameters FullyShardedDataParallel collects in '
                f'{model.param_dtype}: add --amp, or fp16=True to '
                f'{loop.stage}_cfg, or take param_dtype out.'
            )
    if any(isinstance(hook, CompileHook) for hook in hooks):
        raise LaunchError(
            'FullyShardedDataParallel does not go with compile: what collects '
            'units and spreads gradients would be compiled away, and the '
            'gradients be others. Take compile (or the CompileHook) out of '
            'the config, or model_wrapper_cfg.'
        )
    if any(isinstance(hook, EMAHook) for hook in hooks):
        raise LaunchError(
            'FullyShardedDataParallel does not go with an EMAHook, which '
            'copies the whole model: take the EMAHook out of custom_hooks, or '
            'model_wrapper_cfg out of the config.'
        )


def collect(
    model: FullyShardedDataParallel, optim_wrapper: Any
) -> dict[str, Any]:
    """Collect a model and its optimizer. All processes must call this at once.

    Args:
        model (FullyShardedDataParallel): The model of a runner.
        optim_wrapper (OptimWrapper, optional): Its optimizer.

    Returns:
        dict: ``state_dict`` and, if asked for, ``optimizer``, as mmengine
        would save those of a model that is not spread.
    """
    # What is collected to compute with may be of a smaller type. The runner
    # collects it again after the saving.
    model.spread_parts()
    found = dict(state_dict=whole(get_state_dict(model)))
    if optim_wrapper is not None:
        found['optimizer'] = whole(optim_wrapper.state_dict())
    return found


def spread(checkpoint: dict, model: FullyShardedDataParallel) -> None:
    """Keep of a checkpoint's weights what this process holds.

    Args:
        checkpoint (dict): Changed in place.
        model (FullyShardedDataParallel): The model of a runner, which is
            spread for the loading.
    """
    model.spread_parts()
    own = get_state_dict(model)
    weights = checkpoint.get('state_dict', checkpoint)
    for name, value in weights.items():
        if name in own:
            weights[name] = spread_like(value, own[name])


def spread_moments(optimizer: Optimizer, state: dict) -> dict:
    """Keep of the moments what this process holds; a hook before loading.

    Args:
        optimizer (Optimizer): The optimizer.
        state (dict): As :meth:`Optimizer.state_dict` gives, of whole tensors.

    Returns:
        dict: The same of spread tensors.
    """
    groups = zip(optimizer.param_groups, state['param_groups'], strict=True)
    by_number = {
        number: parameter
        for own, saved in groups
        for parameter, number in zip(
            own['params'], saved['params'], strict=True
        )
    }
    moments = {
        number: {
            key: spread_like(value, by_number[number])
            if hasattr(value, 'shape') and value.dim()
            else value
            for key, value in values.items()
        }
        for number, values in state['state'].items()
    }
    return dict(state, state=moments)
