"""Adapted layers as tensors in peft's layout."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .attention import PROJECTIONS, AdaptedMultiheadAttention
from .base import LowRank
from .fused_qkv import PARTS, AdaptedQKV
from .layer import AdapterLayer
from .magnitudes import WithMagnitudes
from .norm import base_sqnorm
from .oft import OFTLinear
from .pissa import PrincipalStart

_MERGE = 'Merge it instead: tools/model_converters/merge_adapters.py.'

#: Above this alpha over beta, squares of the product leave float32.
_MOST_RATIO = 1e12


@dataclass
class PeftLayer:
    """One layer of peft: B (out, r) and A (r, in), scaled by alpha / r.

    Attributes:
        a (Tensor): Shape (r, ...).
        b (Tensor): Shape (out, r) or (out, r / groups, 1, 1).
        alpha (float): ``r`` times the factor of the product.
        magnitude (Tensor, optional): One number a row.
        dropout (float): Dropout of the low-rank path's input.
        inner (dict[str, Tensor]): Tensors of layers inside.
        numbers (tuple[Tensor, Tensor], optional): Learnt alpha and beta, where
            they are kept apart.
        rslora (bool): Whether alpha was divided by the root of the rank.
    """

    a: Tensor
    b: Tensor
    alpha: float
    magnitude: Tensor | None = None
    dropout: float = 0.0
    inner: dict[str, Tensor] = field(default_factory=dict)
    numbers: tuple[Tensor, Tensor] | None = None
    rslora: bool = False

    @property
    def rank(self) -> int:
        """Rank of the change."""
        return len(self.a)


def plain_layer(name: str, adapter: Any, wora: bool = False) -> PeftLayer:
    """Describe a linear layer or a convolution.

    Args:
        name (str): Its name, for messages.
        adapter (LowRank): The layer.
        wora (bool): Whether alpha and beta of a layer with magnitudes are
            kept apart. Defaults to False.

    Returns:
        PeftLayer: The description.

    Raises:
        ValueError: If peft has no such layer.
    """
    a, b = adapter.lora_A.detach(), adapter.lora_B.detach()
    if isinstance(adapter, PrincipalStart):
        a, b = (t.detach() for t in adapter.plain_factors())
    scale, magnitude, numbers = adapter.whole_scale(), None, None
    if isinstance(adapter, WithMagnitudes):
        if adapter.norm_dim != 'out':
            raise ValueError(
                f'"{name}" has one magnitude an input feature '
                "(norm_dim='in'), peft's DoRA one an output feature. " + _MERGE
            )
        magnitude = adapter.magnitude.detach()
        if wora:
            scale = 1.0
            numbers = adapter.alpha.detach(), adapter.beta.detach()
        else:
            scale, magnitude = _folded(name, scale, magnitude, adapter.beta)
    if a.dim() == 4:
        check_conv(name, adapter.linear, magnitude is not None)
        a, b = _whole_a(a, adapter.linear.groups), b[:, :, None, None]
        if magnitude is not None:
            magnitude = magnitude.view(1, -1, 1, 1)
    rank = len(a)
    alpha = rank * scale
    if adapter.alpha_by_rank and rank == adapter.rank:
        alpha = adapter.alpha.item()  # not rounded twice
    return PeftLayer(
        *(a, b, alpha, magnitude, adapter.dropout, {}, numbers),
        adapter.rslora,
    )


def _folded(
    name: str, scale: float, magnitude: Tensor, beta: Tensor
) -> tuple[float, Tensor]:
    """Put beta into the scale of the product and the sign of magnitudes.

    The direction of beta W + alpha BA is that of W + alpha / beta BA, or the
    opposite where beta is negative.
    """
    number = beta.item()
    if not abs(scale) < _MOST_RATIO * abs(number):
        raise ValueError(
            f'beta of "{name}" is {number:g}, next to 0: peft has DoRA with a '
            'beta of 1, and divided by this one its factors are no numbers. '
            + _MERGE
        )
    return scale / number, magnitude if number > 0 else -magnitude


def check_conv(name: str, conv: Any, has_magnitudes: bool) -> None:
    """Stop at a convolution whose factors are others in peft.

    Args:
        name (str): Its name, for messages.
        conv (nn.Conv2d): The convolution.
        has_magnitudes (bool): Whether it is adapted by DoRA or WoRA.

    Raises:
        ValueError: If peft has no such layer.
    """
    reason = ''
    if any(d > 1 for d in conv.dilation) and max(conv.kernel_size) > 1:
        reason = 'is dilated, which the factors of peft are not'
    elif conv.padding_mode != 'zeros' and conv.padding != (0, 0):
        reason = f'pads by {conv.padding_mode}, and peft with zeros'
    elif has_magnitudes and conv.groups > 1:
        reason = f'has {conv.groups} groups, for which peft has no DoRA'
    if reason:
        raise ValueError(f'The convolution "{name}" {reason}. {_MERGE}')


def _whole_a(a: Tensor, groups: int) -> Tensor:
    """A (r, in / g, h, w) as peft holds it, over all inputs (r, in, h, w)."""
    if groups == 1:
        return a
    r, width, *places = a.shape
    whole = a.new_zeros(groups, r // groups, groups, width, *places)
    for group, own in enumerate(a.chunk(groups)):
        whole[group, :, group] = own
    return whole.reshape(r, groups * width, *places)


def attention_layer(
    name: str, attention: AdaptedMultiheadAttention, twice: bool | None
) -> PeftLayer:
    """One low-rank change of the packed weight, another of ``out_proj``.

    peft gives both the same rank and factor: the factors go into B, and rows
    of zeros fill the smaller rank up.

    Args:
        name (str): Its name, for messages.
        attention (AdaptedMultiheadAttention): The attention.
        twice (bool, optional): Whether peft applies the change of
            ``out_proj`` twice.

    Returns:
        PeftLayer: The description.

    Raises:
        ValueError: If peft has no such layer.
    """
    parts = dict(attention.named_children())
    adapted: dict[str, Any] = {
        n: part
        for n in PROJECTIONS
        if isinstance(part := parts[n], AdapterLayer)
    }
    _check_attention(name, attention, adapted, twice)
    out = adapted.pop('out_proj', None)
    out_a = out_b = None
    if out is not None:
        out_a, out_b = _scaled(out)
        out_b = out_b * (0.5 if twice else 1.0)
    changes = {n: _scaled(part) for n, part in adapted.items()}
    rank = sum(len(a) for a, _ in changes.values())
    rank = max(rank, 0 if out_a is None else len(out_a))
    like = next(
        a for a in (*(a for a, _ in changes.values()), out_a) if a is not None
    )
    down, up = _stacked(changes, rank, attention.embed_dim, like)
    inner_down = like.new_zeros(rank, attention.embed_dim)
    inner_up = inner_down.t().clone()
    if out_a is not None and out_b is not None:
        inner_down[: len(out_a)], inner_up[:, : len(out_a)] = out_a, out_b
    inner = {
        'base_layer.out_proj.lora_A.weight': inner_down,
        'base_layer.out_proj.lora_B.weight': inner_up,
    }
    every = [*adapted.values(), *([] if out is None else [out])]
    dropout = max(layer.dropout for layer in every)
    return PeftLayer(down, up, float(rank), None, dropout, inner)


def qkv_layer(name: str, qkv: AdaptedQKV) -> PeftLayer:
    """One low-rank change of a fused ``qkv``, zero where nothing is adapted.

    Args:
        name (str): Its name, for messages.
        qkv (AdaptedQKV): The layer.

    Returns:
        PeftLayer: The description; factors stand in B.

    Raises:
        ValueError: If peft has no such layer.
    """
    adapted = qkv.adapted()
    if not all(isinstance(part, LowRank) for part in adapted.values()):
        raise ValueError(
            f'"{name}" has OFT on a part of it; peft has it on the whole. '
            + _MERGE
        )
    layers = {n: plain_layer(f'{name}.{n}', m) for n, m in adapted.items()}
    changes = {
        n: (layer.a, layer.b * (layer.alpha / layer.rank))
        for n, layer in layers.items()
    }
    rank = sum(layer.rank for layer in layers.values())
    width = qkv.q.out_features
    like = next(iter(layers.values())).a
    down, up = _stacked(changes, rank, width, like)
    has = [layer.magnitude is not None for layer in layers.values()]
    magnitude = None
    if any(has):
        if not all(has):
            raise ValueError(
                f'"{name}" has parts with and without magnitudes. {_MERGE}'
            )
        magnitude = torch.cat([_row_norms(qkv, layers, n) for n in PARTS])
    dropout = max(layer.dropout for layer in layers.values())
    return PeftLayer(down, up, float(rank), magnitude, dropout)


def _row_norms(
    qkv: AdaptedQKV, layers: dict[str, PeftLayer], part: str
) -> Any:
    """Magnitudes of a part; those of a plain layer are its norms."""
    if part in layers:
        return layers[part].magnitude
    return base_sqnorm(getattr(qkv, part).weight, 'out').sqrt()


def _stacked(
    changes: dict[str, tuple[Tensor, Tensor]],
    rank: int,
    width: int,
    like: Tensor,
) -> tuple[Tensor, Tensor]:
    """A (rank, in) and B (3 * width, rank) of queries, keys and values."""
    down = like.new_zeros(rank, like.shape[1])
    up, row = like.new_zeros(3 * width, rank), 0
    for key, (a, b) in changes.items():
        rows = slice(row, row + len(a))
        start = PARTS.index(key) * width
        down[rows], up[start : start + width, rows] = a, b
        row += len(a)
    return down, up


def _check_attention(
    name: str,
    attention: AdaptedMultiheadAttention,
    adapted: dict[str, Any],
    twice: bool | None,
) -> None:
    if any(
        isinstance(layer, WithMagnitudes | OFTLinear)
        for layer in adapted.values()
    ):
        raise ValueError(
            f'"{name}" is an nn.MultiheadAttention with magnitudes or OFT; '
            f'peft has only LoRA there. {_MERGE}'
        )
    if not attention._is_packed:
        raise ValueError(
            f'"{name}" has keys or values of another width, which peft does '
            f'not take. {_MERGE}'
        )
    if 'out_proj' in adapted and twice is None:
        raise ValueError(
            f'"{name}" has an adapter on out_proj, whose change peft up to '
            '0.21.2 applies twice (huggingface/peft#3774). Say for which peft '
            'the export is: out_proj_twice=True (--out-proj twice) for such '
            'a version, False (once) for one without the fault.'
        )


def _scaled(adapter: Any) -> tuple[Tensor, Tensor]:
    """Factors with the scale in B."""
    a, b = (t.detach() for t in adapter.plain_factors())
    return a, b * adapter.whole_scale()
