"""Arguments of an optimizer and of the clipping of gradients."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.registry import OPTIMIZERS
from torch.nn.utils import clip_grad

from mmtpr.utils.errors import LaunchError

_CLIPS: dict[str, Callable] = dict(
    norm=clip_grad.clip_grad_norm_, value=clip_grad.clip_grad_value_
)
_KEY = 'optim_wrapper.optimizer'


def check_optimizer(wrapper: Any) -> None:
    """Stop at arguments that the optimizer or the clipping does not take.

    Args:
        wrapper (Mapping | None): ``optim_wrapper`` of a config.

    Raises:
        LaunchError: At the first one, with its key.
    """
    if not isinstance(wrapper, Mapping):
        return
    optimizer = wrapper.get('optimizer')
    optimizer = optimizer if isinstance(optimizer, Mapping) else {}
    kind = optimizer.get('type')
    cls = OPTIMIZERS.module_dict.get(kind) if isinstance(kind, str) else kind
    if inspect.isclass(cls):
        _check_arguments(optimizer, cls)
        _check_rate(optimizer, cls, wrapper.get('paramwise_cfg') or {})
    clip = wrapper.get('clip_grad')
    if isinstance(clip, Mapping):
        _check_clip(clip)


def _check_arguments(optimizer: Mapping, cls: type) -> None:
    taken = _parameters(cls)
    if taken is None:
        return
    for name in optimizer:
        if name not in (*taken, 'type'):
            raise LaunchError(
                f'{_KEY}.{name}: {cls.__name__} takes no such argument'
                f'{_near(name, taken)}. One set over a base keeps the '
                "arguments of the base's, unless it has _delete_=True."
            )


def _check_rate(optimizer: Mapping, cls: type, paramwise: Mapping) -> None:
    if optimizer.get('lr') is not None:
        return
    default = (_parameters(cls) or {}).get('lr')
    may_be_none = default is None or default.default is None
    if paramwise or ('lr' in optimizer and not may_be_none):
        why = ' with paramwise_cfg, which multiplies it' if paramwise else ''
        raise LaunchError(f'{_KEY}.lr: it must be a number >= 0{why}.')


def _check_clip(clip: Mapping) -> None:
    kind = clip.get('type', 'norm')
    if kind not in _CLIPS:
        raise LaunchError(
            f'optim_wrapper.clip_grad.type={kind!r}: it must be norm or value.'
        )
    taken = _parameters(_CLIPS[kind]) or {}
    taken.pop('parameters', None)
    for name in clip:
        if name not in (*taken, 'type'):
            raise LaunchError(
                f'optim_wrapper.clip_grad.{name}: there is no such setting'
                f'{_near(name, taken)}; there is {", ".join(taken)}.'
            )
    for name, parameter in taken.items():
        if parameter.default is parameter.empty and name not in clip:
            raise LaunchError(
                f'optim_wrapper.clip_grad of type {kind!r} needs {name}.'
            )


def _parameters(
    call: Callable,
) -> dict[str, inspect.Parameter] | None:
    """Arguments by name; None if it takes others too, or does not tell."""
    try:
        found = dict(inspect.signature(call).parameters)
    except (TypeError, ValueError):
        return None
    kinds = {parameter.kind for parameter in found.values()}
    return None if inspect.Parameter.VAR_KEYWORD in kinds else found


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f', meant: {near[0]}?' if near else ''
