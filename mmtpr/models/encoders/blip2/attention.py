"""Attention of BLIP-2 by torch's fused kernel, in every transformers.

Up to 4.52 transformers computes the scores of both towers one by one, and up
to 5.0 those of the Q-Former. Newer releases use the fused kernel for both. The
layers here have the same parameters under the same names, so that all
releases compute alike.
"""

import inspect
import sys
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FusedVisionAttention(nn.Module):
    """Self-attention of the ViT.

    Args:
        attention (nn.Module): ``Blip2Attention`` of transformers, whose
            parameters are taken over.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.dropout = attention.config.attention_dropout
        self.qkv = attention.qkv
        self.projection = attention.projection
        self.train(attention.training)

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """Attend.

        Args:
            hidden_states (Tensor): Of shape (B, N, C).
            **_ (Any): What transformers passes beside; none of it is used.

        Returns:
            tuple[Tensor, None]: Of shape (B, N, C), and no weights.
        """
        qkv = self.qkv(hidden_states)  # (B, N, 3C)
        qkv = qkv.unflatten(-1, (3, self.num_heads, -1))  # (B, N, 3, h, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, h, N, d)
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.projection(out.transpose(1, 2).flatten(2)), None


class FusedQFormerAttention(nn.Module):
    """Self- or cross-attention of the Q-Former.

    Args:
        attention (nn.Module): ``Blip2QFormerMultiHeadAttention`` of
            transformers, whose parameters are taken over.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.num_heads = attention.num_attention_heads
        self.dropout = attention.config.attention_probs_dropout_prob
        self.query = attention.query
        self.key = attention.key
        self.value = attention.value
        # Releases differ in the order of what they pass.
        self._arguments = inspect.signature(attention.forward)
        self.train(attention.training)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        """Attend.

        Args:
            *args (Any): Of transformers' layer: ``hidden_states`` (B, T, H);
                ``attention_mask``, added or boolean (True is seen), which
                broadcasts to (B, h, T, T); ``encoder_hidden_states``
                (B, N, C), which are read in place of the former, all of
                them: images have no padding.
            **kwargs (Any): The same by name.

        Returns:
            tuple[Tensor, None]: Of shape (B, T, H), and no weights.
        """
        given = self._arguments.bind(*args, **kwargs).arguments
        hidden = given['hidden_states']
        image = given.get('encoder_hidden_states')
        mask = given.get('attention_mask') if image is None else None
        read = hidden if image is None else image
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query(hidden), self.key(read), self.value(read))
        )  # (B, h, T or N, d)
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(q.dtype)
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout
        )
        return out.transpose(1, 2).flatten(2), None


def fuse_attention(blip2: Any) -> None:
    """Let both towers attend by the fused kernel.

    Args:
        blip2 (nn.Module): The model, changed in place.
    """
    for layer in blip2.vision_model.encoder.layers:
        layer.self_attn = FusedVisionAttention(layer.self_attn)
    for layer in blip2.qformer.encoder.layer:
        for name in ('attention', 'crossattention'):
            outer = getattr(layer, name, None)
            if outer is not None:
                outer.attention = FusedQFormerAttention(outer.attention)


def qformer_mask(qformer: nn.Module, mask: Tensor) -> Tensor:
    """Bring a mask into the form the Q-Former takes without looking at it.

    Newer transformers look whether a mask of shape (B, L) hides anything, for
    which the host waits until the device is done; one of four dimensions is
    taken as it is. Older ones take only the former, and do not look.

    Args:
        qformer (nn.Module): ``Blip2QFormerModel`` of transformers.
        mask (Tensor): 1 where a token counts, of shape (B, L).

    Returns:
        Tensor: The same, or boolean of shape (B, 1, 1, L).
    """
    module = sys.modules[type(qformer).__module__]
    if not hasattr(module, 'create_bidirectional_mask'):
        return mask
    return (mask != 0)[:, None, None]
