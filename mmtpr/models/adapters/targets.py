"""Which layers of a model targets choose, and with what options."""

import inspect
import logging
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from torch import nn

from mmtpr.models.name_patterns import compile_patterns

from .kinds import Kind, Plan
from .layer import AdapterLayer
from .offer import Offer
from .pissa import most_rank


def plan_target(adapter_cfg: dict, target: dict) -> Plan:
    """Read the options of one target and try them on a tiny layer.

    Args:
        adapter_cfg (dict): Type and options for all targets.
        target (dict): The target.

    Returns:
        Plan: Adapter and options.

    Raises:
        TypeError: If the target is no dict with a pattern.
        ValueError: If an option is wrong.
    """
    if not isinstance(target, dict) or 'type' not in target:
        raise TypeError(
            "A target is dict(type='<regular expression>', rank=..., ...), "
            f'got {target!r}.'
        )
    options = dict(adapter_cfg)
    kind = Kind(options.pop('type', None))
    options.update({k: v for k, v in target.items() if k != 'type'})
    convs = options.pop('convs', None)
    if convs not in (None, True, False):
        raise ValueError(f'convs must be True, False or None, got {convs!r}.')
    if 'drop_rate' in options:
        options['dropout'] = options.pop('drop_rate')
    adapter: Any = kind.linear or kind.conv
    known = list(inspect.signature(adapter).parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f'{adapter.__name__} has no option {", ".join(unknown)} (target '
            f'{target["type"]!r}); it has {", ".join([*known, "convs"])}.'
        )
    adapter(adapter.smallest(options), **options)
    return Plan(kind, options, convs)


def select(
    model: nn.Module,
    adapter_cfg: dict,
    targets: Sequence[dict],
    exclude: Sequence[str],
) -> dict[str, Plan]:
    """Decide for every name; raises before anything is changed.

    Args:
        model (nn.Module): The model.
        adapter_cfg (dict): Type and options for all targets.
        targets (Sequence[dict]): The targets.
        exclude (Sequence[str]): Patterns of names to leave alone.

    Returns:
        dict[str, Plan]: Name to adapter and options, in the model's order.

    Raises:
        ValueError: If a target adapts nothing or a layer does not fit.
    """
    offer = Offer(model)
    plans = [plan_target(adapter_cfg, target) for target in targets]
    patterns = compile_patterns([t['type'] for t in targets], 'targets')
    excluded = offer.excluded(exclude)
    chosen: dict[str, Plan] = {}
    for pattern, plan in zip(patterns, plans, strict=True):
        matched = offer.matched(pattern, plan)
        free = [
            n
            for n in matched
            if n not in excluded and not offer.is_taken(n, chosen)
        ]
        if not free:
            raise ValueError(offer.explain_no_match(pattern, matched))
        chosen.update(dict.fromkeys(free, plan))
    layers = offer.layers
    halves = [
        n for n in layers if n in excluded and offer.wholes.get(n) in chosen
    ]
    if halves:
        whole = offer.wholes[halves[0]]
        raise ValueError(
            f'exclude names "{halves[0]}", a part of "{whole}", which a '
            f'target adapts as a whole; let the target name the other parts.'
        )
    twice = [n for n in chosen if isinstance(layers[n], AdapterLayer)]
    if twice:
        raise ValueError(
            f'Adapted already, cannot adapt twice: {", ".join(twice[:5])}.'
        )
    _check_fit(chosen, offer)
    _warn_of_ranks(
        {
            n: plan.options.get('rank', 8)
            for n, plan in chosen.items()
            if hasattr(plan.kind.of(layers[n]), 'alpha_by_rank')
        },
        offer,
    )
    return {name: chosen[name] for name in layers if name in chosen}


def _check_fit(chosen: dict[str, Plan], offer: Offer) -> None:
    """Stop at layers that their adapter cannot wrap."""
    reasons = {}
    for name, plan in chosen.items():
        layer = offer.layers[name]
        adapter = plan.kind.of(layer)
        what = 'convolutions' if offer.is_conv(name) else 'linear layers'
        if adapter is None:
            reasons[name] = f'{plan.kind.name} is not for {what}'
        elif reason := adapter.misfit(layer, plan.options):
            reasons[name] = reason
    if reasons:
        name, reason = next(iter(reasons.items()))
        raise ValueError(
            f'{len(reasons)} of {len(chosen)} chosen layers cannot be '
            f'adapted, such as "{name}": {reason}.'
        )


def _warn_of_ranks(ranks: dict[str, int], offer: Offer) -> None:
    """Tell of changes that cost more than the whole weight would."""
    widths = {name: _width(name, offer) for name in ranks}
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


def _width(name: str, offer: Offer) -> int:
    """Highest rank that a weight can have."""
    layer: Any = offer.layers[name]
    if isinstance(layer, nn.Conv2d):
        return most_rank(layer.weight, layer.groups)
    if isinstance(layer, nn.Linear):
        parts = 3 if name in offer.wholes else 1
        return min(layer.in_features, layer.out_features // parts)
    sides = {'k': 'kdim', 'v': 'vdim'}
    side = sides.get(name.rpartition('.')[2], 'embed_dim')
    return min(layer.embed_dim, getattr(layer, side))
