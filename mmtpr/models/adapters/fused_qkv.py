"""Queries, keys and values of one linear layer as separate layers."""

from typing import Any

import torch
from torch import Tensor, nn

from .attention import frozen_copy
from .layer import AdapterLayer, without_adapter

#: Names that a fused layer ``x.qkv`` offers: ``x.qkv.q`` and so on.
PARTS = ('q', 'k', 'v')

_MMPRETRAIN = 'mmpretrain.models.'
#: Classes whose ``qkv`` has all queries first, then all keys, then all
#: values. There are others, such as those that go head by head, and nothing
#: in the shape tells them apart.
_KNOWN = {
    'timm.layers.attention': ('Attention', 'AttentionRope'),
    'timm.layers.diff_attention': ('DiffAttention',),
    'timm.models.beit': ('Attention',),
    'timm.models.cait': ('TalkingHeadAttn',),
    'timm.models.convit': ('MHSA',),
    'timm.models.davit': ('WindowAttention', 'ChannelAttention'),
    'timm.models.eva': ('EvaAttention',),
    'timm.models.hiera': ('MaskUnitAttention',),
    'timm.models.hieradet_sam2': ('MultiScaleAttention',),
    'timm.models.metaformer': ('Attention',),
    'timm.models.mvitv2': ('MultiScaleAttention',),
    'timm.models.nest': ('Attention',),
    'timm.models.swin_transformer': ('WindowAttention',),
    'timm.models.swin_transformer_v2': ('WindowAttention',),
    'timm.models.swin_transformer_v2_cr': ('WindowMultiHeadAttention',),
    'timm.models.vision_transformer_relpos': ('RelPosAttention',),
    'timm.models.vision_transformer_sam': ('Attention',),
    'timm.models.xcit': ('XCA',),
    'dinov2.layers.attention': ('Attention', 'MemEffAttention'),
    f'{_MMPRETRAIN}backbones.davit': ('DaViTWindowMSA', 'ChannelAttention'),
    f'{_MMPRETRAIN}backbones.hivit': ('Attention',),
    f'{_MMPRETRAIN}backbones.mvit': ('MultiScaleAttention',),
    f'{_MMPRETRAIN}backbones.vit_eva02': ('AttentionWithRoPE',),
    f'{_MMPRETRAIN}backbones.vit_sam': ('Attention',),
    f'{_MMPRETRAIN}backbones.xcit': ('XCA',),
    f'{_MMPRETRAIN}utils.attention': (
        *('WindowMSA', 'WindowMSAV2', 'MultiheadAttention'),
        *('BEiTAttention', 'ChannelMultiheadAttention'),
    ),
}
_NAMES = {f'{room}.{name}' for room, names in _KNOWN.items() for name in names}


def register_fused_qkv(attention: type[nn.Module]) -> type[nn.Module]:
    """Declare that a class keeps queries, keys and values in ``qkv``.

    For classes of one's own; those of timm, mmpretrain and DINOv2 are known.
    The rows of ``qkv.weight`` must be all queries, then all keys, then all
    values, as many of each.

    Args:
        attention (type): The class, whose ``forward`` this is about.

    Returns:
        type: The class, so that this may decorate it.
    """
    _NAMES.add(_full_name(attention))
    return attention


def _full_name(kind: type) -> str:
    return f'{kind.__module__}.{kind.__qualname__}'


def is_fused_qkv(parent: nn.Module, name: str) -> bool:
    """Tell whether a child holds queries, keys and values one after another.

    Args:
        parent (nn.Module): An attention.
        name (str): Name of its child.

    Returns:
        bool: True if it does and its class is known for it.
    """
    child = parent._modules.get(name)
    if name != 'qkv' or not isinstance(child, nn.Linear):
        return False
    # A subclass with a forward of its own may cut in another way.
    owner = next(c for c in type(parent).__mro__ if 'forward' in vars(c))
    return child.out_features % 3 == 0 and _full_name(owner) in _NAMES


class AdaptedQKV(nn.Module):
    """A fused ``qkv`` as three linear layers, each of which may be adapted.

    It stands where the ``nn.Linear`` stood, gives the same output, and turns
    back into it with :meth:`plain`.

    Args:
        linear (nn.Linear): The fused layer, with its pretrained weight in it:
            a third of its rows for queries, keys and values each.
    """

    q: Any
    k: Any
    v: Any

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weights = linear.weight.chunk(3)
        biases = [None] * 3 if linear.bias is None else linear.bias.chunk(3)
        for name, weight, bias in zip(PARTS, weights, biases, strict=True):
            part = frozen_copy(weight, bias, linear.weight.requires_grad)
            setattr(self, name, part)
        self.train(linear.training)

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.q.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return 3 * self.q.out_features

    @property
    def weight(self) -> Tensor:
        """Effective weight (out, in), built anew, for code that reads it."""
        return torch.cat([self.q.weight, self.k.weight, self.v.weight])

    @property
    def bias(self) -> Tensor | None:
        """Bias (out,), built anew."""
        if self.q.bias is None:
            return None
        return torch.cat([self.q.bias, self.k.bias, self.v.bias])

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three layers.

        Args:
            x (Tensor): Shape (..., in).

        Returns:
            Tensor: Queries, keys and values, shape (..., out).
        """
        return torch.cat([self.q(x), self.k(x), self.v(x)], -1)

    def plain(self, merged: bool = True) -> nn.Linear:
        """The fused layer without adapters.

        Args:
            merged (bool): Whether the adapters are merged into its weight or
                dropped. Defaults to True.

        Returns:
            nn.Linear: A layer with the original state-dict keys. This one
            must not be used on.
        """
        parts: Any = [without_adapter(getattr(self, n), merged) for n in PARTS]
        trains = any(p.weight.requires_grad for p in parts)
        weight = torch.cat([p.weight.detach() for p in parts])
        bias = None
        if parts[0].bias is not None:
            bias = torch.cat([p.bias.detach() for p in parts])
        return frozen_copy(weight, bias, trains).train(self.training)

    def adapted(self) -> dict[str, AdapterLayer]:
        """The parts that are adapted.

        Returns:
            dict[str, AdapterLayer]: Name, one of ``q``, ``k``, ``v``, to
            layer.
        """
        named = self.named_children()
        return {n: m for n, m in named if isinstance(m, AdapterLayer)}
