"""The layers that a model offers to targets."""

import re
from collections.abc import Sequence

from mmengine.logging import print_log
from torch import nn

from mmtpr.models.name_patterns import compile_patterns, near_names

from .attention import PROJECTIONS
from .conv_base import is_plain_conv
from .fused_qkv import PARTS, is_fused_qkv
from .kinds import Plan
from .layer import AdapterLayer


def is_fused(module: nn.Module | None) -> bool:
    """Tell whether a module computes what nn.MultiheadAttention does.

    Args:
        module (nn.Module, optional): Any module.

    Returns:
        bool: True if it does.
    """
    return (
        isinstance(module, nn.MultiheadAttention)
        and type(module).forward is nn.MultiheadAttention.forward
    )


def adaptable_layers(
    model: nn.Module, convs: bool = False, parts: bool = False
) -> dict[str, nn.Module]:
    """Names that targets are matched with, in the model's order.

    Args:
        model (nn.Module): Any model.
        convs (bool): Whether convolutions count. Defaults to False.
        parts (bool): Whether ``x.qkv.q x.qkv.k x.qkv.v`` of a fused ``qkv``
            count beside ``x.qkv``. Defaults to False.

    Returns:
        dict[str, nn.Module]: Name to layer: the ``nn.Linear`` or
        ``nn.Conv2d`` itself, the ``nn.MultiheadAttention`` for its names
        ``x.q x.k x.v x.out_proj``, the fused layer for its parts, or the
        adapter where there is one already. A shared layer appears under each
        of its names.
    """
    found: dict[str, nn.Module] = {}
    for name, child in model._modules.items():
        if isinstance(child, AdapterLayer | nn.Linear):
            found[name] = child
            if parts and is_fused_qkv(model, name):
                found.update({f'{name}.{p}': child for p in PARTS})
        elif convs and is_plain_conv(child):
            found[name] = child  # type: ignore[assignment]
        elif child is None:
            continue
        elif is_fused(child):
            found.update({f'{name}.{p}': child for p in PROJECTIONS})
        else:
            below = adaptable_layers(child, convs, parts)
            found.update({f'{name}.{k}': v for k, v in below.items()})
    return found


class Offer:
    """The layers that a model offers to targets.

    Args:
        model (nn.Module): The model.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers = adaptable_layers(model, convs=True, parts=True)
        #: Part of a fused layer -> name of the whole.
        self.wholes = {
            name: whole
            for name, layer in self.layers.items()
            if (whole := name.rpartition('.')[0]) in self.layers
            and self.layers[whole] is layer
        }

    def is_conv(self, name: str) -> bool:
        """Tell whether a name is that of a convolution."""
        return isinstance(self.layers[name], nn.Conv2d)

    def matched(self, pattern: re.Pattern, plan: Plan) -> list[str]:
        """Names that a target means: a whole rather than its parts."""
        names = [n for n in self.layers if pattern.fullmatch(n)]
        names = [n for n in names if self.wholes.get(n) not in names]
        others = [n for n in names if not self.is_conv(n)]
        if plan.convs or (plan.convs is None and not others):
            return names
        convs = [n for n in names if self.is_conv(n)]
        if plan.convs is None and convs and plan.kind.conv is not None:
            print_log(
                f'The target {pattern.pattern!r} matches {len(convs)} '
                f'convolutions too, such as "{convs[0]}": they are left '
                'alone. Add convs=True to the target to adapt them.',
                logger='current',
            )
        return others

    def is_taken(self, name: str, chosen: dict[str, Plan]) -> bool:
        """Tell whether a layer, its whole or a part of it is chosen."""
        if name in chosen or self.wholes.get(name) in chosen:
            return True
        return any(self.wholes.get(other) == name for other in chosen)

    def excluded(self, exclude: Sequence[str]) -> set[str]:
        """Names that patterns leave out; raises if one matches nothing."""
        barred = compile_patterns(exclude, 'exclude')
        for pattern in barred:
            if not any(pattern.fullmatch(name) for name in self.layers):
                raise ValueError(
                    f'The pattern {pattern.pattern!r} of exclude matches no '
                    f'layer. {near_names(pattern.pattern, [*self.layers])}'
                )
        found = {n for n in self.layers if any(p.fullmatch(n) for p in barred)}
        return found | {
            p for p, whole in self.wholes.items() if whole in found
        }

    def explain_no_match(self, pattern: re.Pattern, blocked: list[str]) -> str:
        """Say why a target adapts nothing, and what there is."""
        text = f'The target {pattern.pattern!r} adapts nothing.'
        if blocked:
            return (
                f'{text} What it matches is excluded or taken by an earlier '
                f'target: {", ".join(blocked[:5])}.'
            )
        others = [
            f'{name} ({type(module).__name__})'
            for name, module in self.model.named_modules()
            if name and pattern.fullmatch(name)
        ][:3]
        if others:
            text += (
                f' It matches {", ".join(others)}: not a linear layer, nor a '
                'plain convolution that the target allows.'
            )
        near = near_names(pattern.pattern, list(self.layers))
        return f'{text}{self._fused_hint(pattern)} {near} {self._counts()}'

    def _fused_hint(self, pattern: re.Pattern) -> str:
        """Say of a ``qkv`` of unknown layout why it has no parts."""
        whole = [
            n
            for n in self.layers
            if any(pattern.fullmatch(f'{n}.{part}') for part in PARTS)
        ]
        if not whole:
            return ''
        parent, _, _ = whole[0].rpartition('.')
        kind = type(self.model.get_submodule(parent)).__name__
        return (
            f' The rows of "{whole[0]}" may stand in any order in a {kind}: '
            'adapt it as a whole, or, if they are all queries, then all keys, '
            'then all values, declare it by register_fused_qkv.'
        )

    def _counts(self) -> str:
        """How many layers of each kind there are."""
        kinds = {'linear layers': 0, 'parts of attentions': 0}
        kinds['convolutions'] = 0
        for name, layer in self.layers.items():
            if self.is_conv(name):
                kinds['convolutions'] += 1
            elif name in self.wholes or is_fused(layer):
                kinds['parts of attentions'] += 1
            else:
                kinds['linear layers'] += 1
        listed = ', '.join(f'{n} {kind}' for kind, n in kinds.items() if n)
        return f'The model offers {listed or "nothing"}.'
