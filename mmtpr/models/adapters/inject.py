"""Putting adapters into a model."""

import inspect
import logging
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.logging import print_log
from torch import nn

from mmtpr.models.name_patterns import compile_patterns, near_names

from .attention import PROJECTIONS, AdaptedMultiheadAttention
from .base import AdapterLinear
from .dora import DoRALinear
from .lora import LoRALinear
from .nested import leave_nested_tensors
from .state import check_adapter_keys
from .wora import WoRALinear

#: Adapters by the name used in configs.
ADAPTERS: dict[str, type[AdapterLinear]] = {
    'WoRA': WoRALinear,
    'DoRA': DoRALinear,
    'LoRA': LoRALinear,
}


class _Plan(NamedTuple):
    """Adapter and options chosen for a layer."""

    adapter: type[AdapterLinear]
    options: dict[str, Any]


def _is_fused(module: nn.Module | None) -> bool:
    """Tell whether a module computes what nn.MultiheadAttention does."""
    return (
        isinstance(module, nn.MultiheadAttention)
        and type(module).forward is nn.MultiheadAttention.forward
    )


def adaptable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Names that targets are matched with, in the model's order.

    Args:
        model (nn.Module): Any model.

    Returns:
        dict[str, nn.Module]: Name to layer: the ``nn.Linear`` itself, the
        ``nn.MultiheadAttention`` for its names ``x.q x.k x.v x.out_proj``, or
        the adapter where there is one already. A shared layer appears under
        each of its names.
    """
    found: dict[str, nn.Module] = {}
    for name, child in model._modules.items():
        if isinstance(child, AdapterLinear | nn.Linear):
            found[name] = child
        elif child is None:
            continue
        elif _is_fused(child):
            found.update({f'{name}.{p}': child for p in PROJECTIONS})
        else:
            below = adaptable_layers(child)
            found.update({f'{name}.{k}': v for k, v in below.items()})
    return found


def _resolve_type(kind: Any) -> type[AdapterLinear]:
    if isinstance(kind, type) and issubclass(kind, AdapterLinear):
        return kind
    if isinstance(kind, str) and kind in ADAPTERS:
        return ADAPTERS[kind]
    raise ValueError(
        f'Unknown adapter type {kind!r}; choose from {", ".join(ADAPTERS)}.'
    )


def _plan(adapter_cfg: dict, target: dict) -> _Plan:
    """Options of one target, tried on a tiny layer."""
    if not isinstance(target, dict) or 'type' not in target:
        raise TypeError(
            "A target is dict(type='<regular expression>', rank=..., ...), "
            f'got {target!r}.'
        )
    options = dict(adapter_cfg)
    adapter = _resolve_type(options.pop('type', None))
    options.update({k: v for k, v in target.items() if k != 'type'})
    if 'drop_rate' in options:
        options['dropout'] = options.pop('drop_rate')
    known = list(inspect.signature(adapter).parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f'{adapter.__name__} has no option {", ".join(unknown)} (target '
            f'{target["type"]!r}); it has {", ".join(known)}.'
        )
    adapter(nn.Linear(1, 1), **options)
    return _Plan(adapter, options)


def _explain_no_match(
    pattern: re.Pattern,
    model: nn.Module,
    names: list[str],
    blocked: list[str],
) -> str:
    text = f'The target {pattern.pattern!r} adapts nothing.'
    if blocked:
        return (
            f'{text} What it matches is excluded or taken by an earlier '
            f'target: {", ".join(blocked[:5])}.'
        )
    others = [
        f'{name} ({type(module).__name__})'
        for name, module in model.named_modules()
        if name and pattern.fullmatch(name)
    ][:3]
    if others:
        text += f' It matches {", ".join(others)}: not a linear layer.'
    return f'{text} {near_names(pattern.pattern, names)}'


def _select(
    model: nn.Module,
    adapter_cfg: dict,
    targets: Sequence[dict],
    exclude: Sequence[str],
) -> dict[str, _Plan]:
    """Decide for every name; raises before anything is changed."""
    layers = adaptable_layers(model)
    plans = [_plan(adapter_cfg, target) for target in targets]
    patterns = compile_patterns([t['type'] for t in targets], 'targets')
    barred = compile_patterns(exclude, 'exclude')
    for pattern in barred:
        if not any(pattern.fullmatch(name) for name in layers):
            raise ValueError(
                f'The pattern {pattern.pattern!r} of exclude matches no layer.'
                f' {near_names(pattern.pattern, list(layers))}'
            )
    excluded = {n for n in layers if any(p.fullmatch(n) for p in barred)}
    chosen: dict[str, _Plan] = {}
    for pattern, plan in zip(patterns, plans, strict=True):
        matched = [name for name in layers if pattern.fullmatch(name)]
        free = [n for n in matched if n not in excluded and n not in chosen]
        if not free:
            raise ValueError(
                _explain_no_match(pattern, model, list(layers), matched)
            )
        chosen.update(dict.fromkeys(free, plan))
    twice = [n for n in chosen if isinstance(layers[n], AdapterLinear)]
    if twice:
        raise ValueError(
            f'Adapted already, cannot adapt twice: {", ".join(twice[:5])}.'
        )
    _warn_of_ranks(
        {n: plan.options.get('rank', 8) for n, plan in chosen.items()}, layers
    )
    return {name: chosen[name] for name in layers if name in chosen}


def _warn_of_ranks(ranks: dict[str, int], layers: dict[str, Any]) -> None:
    """Tell of changes that cost more than the whole weight would."""
    widths = {name: _width(name, layers[name]) for name in ranks}
    high = [name for name, rank in ranks.items() if rank > widths[name]]
    if high:
        name = high[0]
        print_log(
            f'{len(high)} of {len(ranks)} adapters have a higher rank than '
            f'their weight can have, such as "{name}": {ranks[name]} of at '
            f'most {widths[name]}. They cost more than training the weight '
            'itself; give their targets a lower rank.',
            logger='current',
            level=logging.WARNING,
        )


def _width(name: str, layer: Any) -> int:
    """Highest rank that a weight can have."""
    if isinstance(layer, nn.Linear):
        return min(layer.in_features, layer.out_features)
    sides = {'k': 'kdim', 'v': 'vdim'}
    side = sides.get(name.rpartition('.')[2], 'embed_dim')
    return min(layer.embed_dim, getattr(layer, side))


def set_submodule(model: nn.Module, name: str, module: nn.Module) -> None:
    """Replace a submodule.

    Args:
        model (nn.Module): The root.
        name (str): Dotted name below the root.
        module (nn.Module): What to put there.
    """
    parent, _, leaf = name.rpartition('.')
    setattr(model.get_submodule(parent), leaf, module)


def _split_attention(model: nn.Module, chosen: dict[str, _Plan]) -> None:
    """Replace the fused attentions that have a chosen projection."""
    layers = adaptable_layers(model)
    fused: dict[str, Any]
    fused = {n.rpartition('.')[0]: layers[n] for n in chosen}
    fused = {n: m for n, m in fused.items() if n and _is_fused(m)}
    built: dict[int, nn.Module] = {}
    for name, module in fused.items():
        if id(module) not in built:
            built[id(module)] = AdaptedMultiheadAttention(module)
        set_submodule(model, name, built[id(module)])


def inject_adapters(
    model: nn.Module,
    adapter_cfg: dict,
    targets: Sequence[dict],
    exclude: Sequence[str] = (),
) -> list[str]:
    r"""Adapt layers of a model in place.

    Pretrained weights must be in already: magnitudes are taken from them. The
    adapted layers' own weights are frozen; the rest of the model is left as
    it is (see :func:`freeze_except_adapters`). Loading a state dict in which
    an adapter key is missing or has no place raises from now on, with
    ``strict=False`` too.

    Args:
        model (nn.Module): Any model. Reached are ``nn.Linear`` and, as the
            names ``x.q x.k x.v x.out_proj``, the parts of an
            ``nn.MultiheadAttention`` called ``x``.
        adapter_cfg (dict): ``type`` (``'WoRA'``, ``'DoRA'``, ``'LoRA'`` or a
            class) and the options of the adapter.
        targets (Sequence[dict]): Each has ``type``, a regular expression that
            must match a layer's whole name, and optionally options that
            override those of ``adapter_cfg``. The first target that matches
            a layer decides.
        exclude (Sequence[str]): Regular expressions of names to leave alone.

    Returns:
        list[str]: Names of the adapted layers, in the model's order.

    Raises:
        ValueError: If a target adapts nothing (the message lists near names),
            a layer is adapted already, or an option is wrong. The model is
            unchanged then.

    Examples:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.MultiheadAttention(8, 2))
        >>> inject_adapters(
        ...     model,
        ...     dict(type='WoRA', rank=4),
        ...     targets=[
        ...         dict(type='0'),
        ...         dict(type=r'1\.(q|v)', rank=2),
        ...     ],
        ... )
        ['0', '1.q', '1.v']
    """
    if not targets:
        raise ValueError('targets is empty: name the layers to adapt.')
    chosen = _select(model, adapter_cfg, targets, exclude)
    _split_attention(model, chosen)
    built: dict[int, AdapterLinear] = {}
    for name, plan in chosen.items():
        linear: Any = model.get_submodule(name)
        if id(linear) not in built and not isinstance(linear, AdapterLinear):
            built[id(linear)] = plan.adapter(linear, **plan.options)
        set_submodule(model, name, built.get(id(linear), linear))
    leave_nested_tensors(model)
    hooks = model._load_state_dict_pre_hooks.values()
    if not any(getattr(h, 'hook', h) is check_adapter_keys for h in hooks):
        model.register_load_state_dict_pre_hook(check_adapter_keys)
    print_log(f'Adapted {len(chosen)} layers.', logger='current')
    return list(chosen)
