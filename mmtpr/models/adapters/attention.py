"""Multi-head attention whose four projections are separate layers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layer import without_adapter

#: Names an ``nn.MultiheadAttention`` offers to adapters.
PROJECTIONS = ('q', 'k', 'v', 'out_proj')


def frozen_copy(
    weight: Tensor, bias: Tensor | None, trains: bool
) -> nn.Linear:
    """Build a linear layer of its own from a part of another's weight.

    Args:
        weight (Tensor): Shape (out, in), copied.
        bias (Tensor, optional): Shape (out,), copied.
        trains (bool): Whether the layer trains.

    Returns:
        nn.Linear: The layer.
    """
    linear = nn.Linear(
        weight.shape[1],
        weight.shape[0],
        bias=bias is not None,
        device='meta',
        dtype=weight.dtype,
    )
    linear.weight = nn.Parameter(weight.detach().clone(), trains)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), trains)
    return linear


def _input_weights(attention: nn.MultiheadAttention) -> list[Tensor]:
    if attention.in_proj_weight is not None:
        return list(attention.in_proj_weight.chunk(3))
    return [
        attention.q_proj_weight,
        attention.k_proj_weight,
        attention.v_proj_weight,
    ]


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask that is added to the scores: True becomes -inf."""
    if mask.dtype == torch.bool:
        zeros = torch.zeros_like(mask, dtype=dtype)
        return zeros.masked_fill_(mask, float('-inf'))
    return mask.to(dtype)


class AdaptedMultiheadAttention(nn.Module):
    """``nn.MultiheadAttention`` with ``q k v out_proj`` as linear layers.

    The fused layer keeps three projections in one parameter and never calls
    ``out_proj``, so adapters cannot reach them. This one computes the same
    from four layers, each of which may be adapted, and turns back into the
    plain layer with :meth:`plain`. Calls and results are those of
    ``nn.MultiheadAttention``.

    Args:
        attention (nn.MultiheadAttention): The layer to stand in for, with its
            pretrained weights. Without ``add_bias_kv`` and ``add_zero_attn``.

    Raises:
        ValueError: If the layer uses ``add_bias_kv`` or ``add_zero_attn``.
    """

    #: Keeps torch's transformer layers off the fused path that reads weights.
    _qkv_same_embed_dim = False

    q: Any
    k: Any
    v: Any
    out_proj: Any

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        if attention.bias_k is not None or attention.add_zero_attn:
            raise ValueError(
                'Adapters do not reach an nn.MultiheadAttention with '
                'add_bias_kv or add_zero_attn; exclude it from the targets.'
            )
        self.embed_dim = attention.embed_dim
        self.num_heads = attention.num_heads
        self.head_dim = attention.head_dim
        self.kdim, self.vdim = attention.kdim, attention.vdim
        self.dropout = attention.dropout
        self.batch_first = attention.batch_first
        self._is_packed = attention._qkv_same_embed_dim
        weights = _input_weights(attention)
        packed = attention.in_proj_bias
        biases = [None] * 3 if packed is None else packed.chunk(3)
        trains = weights[0].requires_grad
        for name, weight, bias in zip('qkv', weights, biases, strict=True):
            setattr(self, name, frozen_copy(weight, bias, trains))
        self.out_proj = attention.out_proj
        self.train(attention.training)

    @property
    def in_proj_weight(self) -> Tensor | None:
        """Effective packed weight (3 * embed_dim, embed_dim), built anew."""
        if not self._is_packed:
            return None
        return torch.cat([self.q.weight, self.k.weight, self.v.weight])

    @property
    def in_proj_bias(self) -> Tensor | None:
        """Packed bias (3 * embed_dim,), built anew."""
        if self.q.bias is None:
            return None
        return torch.cat([self.q.bias, self.k.bias, self.v.bias])

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend, with the interface of ``nn.MultiheadAttention``.

        Args:
            query (Tensor): Shape (N, L, embed_dim) with ``batch_first``, else
                (L, N, embed_dim), or unbatched (L, embed_dim).
            key (Tensor): Likewise with S and ``kdim``.
            value (Tensor): Likewise with S and ``vdim``.
            key_padding_mask (Tensor, optional): Shape (N, S), True or -inf
                where a key is ignored.
            need_weights (bool): Whether to return attention weights, which
                costs the fused kernel. Defaults to True.
            attn_mask (Tensor, optional): Shape (L, S) or (N * heads, L, S),
                boolean (True is ignored) or added.
            average_attn_weights (bool): Whether the weights are averaged over
                heads. Defaults to True.
            is_causal (bool): Says that ``attn_mask`` is causal; the mask is
                used. Defaults to False.

        Returns:
            tuple[Tensor, Tensor | None]: Output, shaped as the query, and the
            weights (N, L, S) or (N, heads, L, S) or None.

        Raises:
            RuntimeError: If ``is_causal`` is set without a mask.
        """
        if is_causal and attn_mask is None:
            raise RuntimeError('is_causal is a hint and needs attn_mask too.')
        batched = query.dim() == 3
        q, k, v = self.q(query), self.k(key), self.v(value)  # (..., D)
        if not batched:
            q, k, v = (t.unsqueeze(0) for t in (q, k, v))
        elif not self.batch_first:
            q, k, v = (t.transpose(0, 1) for t in (q, k, v))  # (N, L, D)
        heads = (self.num_heads, self.head_dim)
        q, k, v = (
            t.unflatten(-1, heads).transpose(1, 2)  # (N, heads, L, D / heads)
            for t in (q, k, v)
        )
        mask = self._merge_masks(attn_mask, key_padding_mask, q)
        out, weights = self._attend(q, k, v, mask, need_weights)
        out = self.out_proj(out.transpose(1, 2).flatten(2))  # (N, L, D)
        if not batched:
            out = out.squeeze(0)
        elif not self.batch_first:
            out = out.transpose(0, 1)
        if weights is not None:
            if average_attn_weights:
                weights = weights.mean(1)  # (N, L, S)
            weights = weights if batched else weights.squeeze(0)
        return out, weights

    def _merge_masks(
        self, attn_mask: Tensor | None, padding: Tensor | None, q: Tensor
    ) -> Tensor | None:
        """One additive mask that broadcasts to (N, heads, L, S)."""
        mask = None
        if attn_mask is not None:
            mask = _additive(attn_mask, q.dtype)
            if mask.dim() == 3:
                # (N * heads, L, S) -> (N, heads, L, S)
                mask = mask.unflatten(0, (-1, self.num_heads))
        if padding is not None:
            if padding.dim() == 1:
                padding = padding.unsqueeze(0)
            # (N, 1, 1, S): the same for all heads and queries.
            padding = _additive(padding, q.dtype)[:, None, None]
            mask = padding if mask is None else mask + padding
        return mask

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        need_weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self.dropout if self.training else 0.0
        # The fused kernel never builds the (L, S) weights.
        if not need_weights:
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout
            )
            return out, None
        # Queries are scaled, not the scores, of which there are more.
        scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
        # (N, heads, L, S)
        if mask is not None:
            scores = scores + mask
        weights = F.dropout(scores.softmax(-1), dropout)
        return weights @ v, weights

    def plain(self, merged: bool = True) -> nn.MultiheadAttention:
        """The fused layer without adapters.

        Args:
            merged (bool): Whether the adapters are merged into its weights
                or dropped. Defaults to True.

        Returns:
            nn.MultiheadAttention: A layer with the original state-dict keys.
            This one must not be used on.
        """
        linears: dict[str, Any] = {
            name: without_adapter(m, merged)
            for name, m in self.named_children()
        }
        weight = linears['q'].weight
        attention = nn.MultiheadAttention(
            self.embed_dim,
            self.num_heads,
            dropout=self.dropout,
            bias=linears['q'].bias is not None,
            kdim=self.kdim,
            vdim=self.vdim,
            batch_first=self.batch_first,
            device='meta',
            dtype=weight.dtype,
        )
        trains = any(linears[n].weight.requires_grad for n in 'qkv')
        inputs = [linears[n].weight.detach() for n in 'qkv']
        if self._is_packed:
            fused = torch.cat(inputs)
            attention.in_proj_weight = nn.Parameter(fused, trains)
        else:
            for name, tensor in zip('qkv', inputs, strict=True):
                parameter = nn.Parameter(tensor.clone(), trains)
                setattr(attention, f'{name}_proj_weight', parameter)
        if linears['q'].bias is not None:
            bias = torch.cat([linears[n].bias.detach() for n in 'qkv'])
            attention.in_proj_bias = nn.Parameter(bias, trains)
        attention.out_proj = linears['out_proj']
        return attention.train(self.training)
