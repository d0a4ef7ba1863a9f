"""Attention inside the windows of a Swin by torch's fused kernel."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class FusedWindowAttention(nn.Module):
    """Window attention that never holds the scores of all windows.

    A drop-in for ``mmpretrain.models.utils.WindowMSA``: the same parameters
    under the same names, the same result. The bias of relative positions,
    and with shifted windows the mask, are added inside the kernel.

    Args:
        attention (nn.Module): The ``WindowMSA`` to stand in for, whose
            parameters are taken over.
    """

    relative_position_index: Tensor

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.embed_dims = attention.embed_dims
        self.window_size = attention.window_size
        self.num_heads = attention.num_heads
        self.scale = attention.scale
        self.relative_position_bias_table = (
            attention.relative_position_bias_table
        )
        self.register_buffer(
            'relative_position_index', attention.relative_position_index
        )
        self.qkv = attention.qkv
        self.attn_drop = attention.attn_drop
        self.proj = attention.proj
        self.proj_drop = attention.proj_drop
        self.train(attention.training)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend inside each window.

        Args:
            x (Tensor): Tokens of shape (B * W, N, C), the W windows of an
                image one after the other.
            mask (Tensor, optional): Added to the scores of each window, of
                shape (W, N, N). Defaults to None.

        Returns:
            Tensor: Of shape (B * W, N, C).
        """
        heads = self.num_heads
        qkv = self.qkv(x).unflatten(-1, (3, heads, -1))  # (BW, N, 3, h, d)
        bias = self._position_bias()[None]  # (1, h, N, N)
        if mask is None:
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (BW, h, N, d)
            out = self._attend(q, k, v, bias).transpose(1, 2)
            return self._project(out)  # (BW, N, h, d) -> (BW, N, C)
        # A mask of its own for each window broadcasts over images only if
        # windows stand beside the heads; repeated for every image it would be
        # as large as the scores.
        windows = len(mask)
        qkv = qkv.unflatten(0, (-1, windows))  # (B, W, N, 3, h, d)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)  # (B, Wh, N, d)
        bias = (bias + mask[:, None]).flatten(0, 1)[None]  # (1, Wh, N, N)
        out = self._attend(q, k, v, bias).unflatten(1, (windows, heads))
        return self._project(out.transpose(2, 3).flatten(0, 1))

    def _position_bias(self) -> Tensor:
        """Bias of relative positions, of shape (h, N, N)."""
        index = self.relative_position_index  # (N, N)
        bias = self.relative_position_bias_table[index.flatten()]  # (NN, h)
        # A view with heads last would not suit the kernel.
        return bias.t().unflatten(-1, index.shape).contiguous()

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(
            *(q, k, v, bias.to(q.dtype)),
            dropout_p=self.attn_drop.p if self.training else 0.0,
            scale=self.scale,
        )

    def _project(self, out: Tensor) -> Tensor:
        return self.proj_drop(self.proj(out.flatten(2)))


def fuse_windows(swin: nn.Module) -> int:
    """Let the windows of a Swin attend by the fused kernel.

    Args:
        swin (nn.Module): ``mmpretrain.SwinTransformer``, changed in place.

    Returns:
        int: Number of the layers that were exchanged. A window attention of
        another kind, such as that of Swin v2, stays as it is.
    """
    from mmpretrain.models.utils import WindowMSA

    blocks: list[Any] = [
        module
        for module in swin.modules()
        if type(getattr(module, 'w_msa', None)) is WindowMSA
    ]
    for block in blocks:
        block.w_msa = FusedWindowAttention(block.w_msa)
    return len(blocks)
