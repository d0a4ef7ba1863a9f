"""Autocast of the pretended device: CUDA's lists of operations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from .record import active
from .rules import NAME
from .tensor import is_ours

# https://docs.pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior
_LOWER = (
    *('_convolution', 'conv1d', 'conv2d', 'conv3d', 'conv_transpose2d'),
    *('addmm', 'addmv', 'addr', 'matmul', 'einsum', 'mm', 'mv', 'linear'),
    *('addbmm', 'baddbmm', 'bmm', 'chain_matmul', 'multi_dot', 'prelu'),
    'scaled_dot_product_attention',
)
_FULL = (
    *('exp', 'expm1', 'log', 'log10', 'log2', 'log1p', 'reciprocal', 'rsqrt'),
    *('pow', 'softplus', 'layer_norm', 'native_layer_norm', 'group_norm'),
    *('cosine_similarity', 'nll_loss', 'nll_loss_nd', 'kl_div', 'l1_loss'),
    *('smooth_l1_loss', 'mse_loss', 'binary_cross_entropy_with_logits'),
    *('dist', 'cdist', 'logsumexp', 'renorm', 'cumprod', 'cumsum', 'prod'),
    *('softmax', 'log_softmax', 'linalg_vector_norm', 'sum', 'norm'),
    *('frobenius_norm', 'cross_entropy_loss', 'acos', 'asin', 'cosh', 'tan'),
    *('sinh', 'hinge_embedding_loss', 'margin_ranking_loss'),
    *('cosine_embedding_loss', 'triplet_margin_loss', 'poisson_nll_loss'),
)
_WIDEST = (
    *('addcdiv', 'addcmul', 'atan2', 'bilinear', 'cross', 'dot'),
    *('grid_sampler', 'index_put', 'scatter_add', 'cat', 'stack', 'vdot'),
)

_Policy = Callable[[tuple, dict], tuple[tuple, dict]]


def register_autocast() -> list[torch.library.Library]:
    """Register CUDA's lists for the pretended device.

    Returns:
        list[Library]: To be kept as long as they are to hold.
    """
    library = torch.library.Library('aten', 'IMPL', 'AutocastPrivateUse1')
    rest = torch.library.Library('_', 'IMPL', 'AutocastPrivateUse1')
    rest.fallback(torch.library.fallthrough_kernel)
    for names, policy in (
        (_LOWER, _lower),
        (_FULL, _full),
        (_WIDEST, _widest),
    ):
        for name in names:
            if hasattr(torch.ops.aten, name):
                _register(library, name, policy)
    return [library, rest]


def _register(
    library: torch.library.Library, name: str, policy: _Policy
) -> None:
    packet = getattr(torch.ops.aten, name)
    key = torch._C.DispatchKey.AutocastPrivateUse1  # type: ignore[attr-defined]
    without = torch._C.DispatchKeySet(key)
    for overload in packet.overloads():
        if 'out' in overload or 'dimname' in overload.lower():
            continue
        target = getattr(packet, overload)

        def kernel(*args, _target=target, **kwargs):
            with torch._C._ExcludeDispatchKeyGuard(without):
                args, kwargs = policy(args, kwargs)
                return _target(*args, **kwargs)

        library.impl(target, kernel)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    wanted = (
        is_ours(value)
        and value.is_floating_point()
        and value.dtype not in (dtype, torch.float64)
    )
    if not wanted:
        return value
    gpu = active()
    if gpu is not None and gpu.memory is not None:
        return gpu.memory.cast(value, dtype)
    return value.to(dtype)


def _lower(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    dtype = torch.get_autocast_dtype(NAME)
    return tree_map(lambda value: _cast(value, dtype), (args, kwargs))


def _full(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    if kwargs.get('dtype') is not None:
        return args, kwargs
    return tree_map(lambda value: _cast(value, torch.float32), (args, kwargs))


def _widest(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    types = {
        x.dtype
        for x in tree_leaves((args, kwargs))
        if isinstance(x, Tensor) and x.is_floating_point()
    }
    return _full(args, kwargs) if torch.float32 in types else (args, kwargs)
