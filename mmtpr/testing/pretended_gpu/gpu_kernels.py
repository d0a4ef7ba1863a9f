"""What fused kernels of a GPU keep for the backward pass.

The parts that the CPU computes one by one in their place keep far more, so
where bytes are counted these stand for them. They compute nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from .rules import NAME


class _Attention(torch.autograd.Function):
    """Memory-efficient attention: scores are never held as a whole."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, mask: Any) -> Tensor:
        batch, heads, length = q.shape[:3]
        # Heads lie beside each other, ready for the projection.
        out = q.new_empty(batch, length, heads, v.shape[-1]).transpose(1, 2)
        sums = q.new_empty(batch, heads, length, dtype=torch.float32)
        ctx.save_for_backward(q, k, v, mask, out, sums)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask, out, _ = ctx.saved_tensors
        grads = [torch.empty_like(x) for x in (q, k, v)]
        if mask is None or not mask.requires_grad:
            return *grads, None
        # One for each row of the batch, which are then added up.
        wide = mask.new_empty(*out.shape[:3], k.shape[-2])
        return *grads, wide.sum_to_size(mask.shape)


class _Dropout(torch.autograd.Function):
    """Dropout that keeps one byte a number."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(torch.empty_like(x, dtype=torch.bool))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (chosen,) = ctx.saved_tensors  # alive until here
        return grad.new_empty(chosen.shape)


def _attend(query, key, value, attn_mask=None, *_: Any, **__: Any) -> Tensor:
    tensors = [query, key, value, attn_mask]
    if torch.is_autocast_enabled(NAME):
        dtype = torch.get_autocast_dtype(NAME)
        tensors = [
            x.to(dtype) if x is not None and x.is_floating_point() else x
            for x in tensors
        ]
    return _Attention.apply(*tensors)


def _drop(input, p=0.5, training=True, inplace=False) -> Tensor:
    return _Dropout.apply(input) if training and p > 0 else input


@contextmanager
def gpu_kernels() -> Iterator[None]:
    """Let attention and dropout keep what they keep on a GPU."""
    with (
        patch.object(F, 'scaled_dot_product_attention', _attend),
        patch.object(F, 'dropout', _drop),
    ):
        yield
