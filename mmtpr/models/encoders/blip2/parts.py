"""Parts of BLIP-2: freezing, precision of the image tower, recomputation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mmtpr.models.freezing import freeze

#: Part -> patterns of names in transformers' model. The norm over the image
#: tower is a part of its own: it trains over a frozen tower.
PARTS = {
    'vision': (r'vision_model\.embeddings', r'vision_model\.encoder'),
    'ln_vision': (r'vision_model\.post_layernorm',),
    'qformer': (r'query_tokens', r'embeddings', r'qformer'),
    'projection': (r'vision_projection', r'text_projection'),
}
_DTYPES = ('float32', 'bfloat16', 'float16')


def freeze_parts(
    blip2: Any, frozen: Sequence[str], vision_dtype: str = 'float32'
) -> tuple[str, ...]:
    """Freeze parts, and hold the image tower in another precision.

    Args:
        blip2 (nn.Module): The model, changed in place.
        frozen (Sequence[str]): Of :data:`PARTS`.
        vision_dtype (str): ``'float32'``, ``'bfloat16'`` or ``'float16'``.

    Returns:
        tuple[str, ...]: The frozen parts.

    Raises:
        ValueError: If a part or a type is unknown, or a tower that trains
            should be held in half precision.
    """
    if vision_dtype not in _DTYPES:
        raise ValueError(
            f'vision_dtype must be one of {_DTYPES}, got {vision_dtype!r}.'
        )
    frozen = freeze(blip2, PARTS, frozen)
    if vision_dtype != 'float32' and 'vision' not in frozen:
        raise ValueError(
            f'vision_dtype={vision_dtype!r} is for a frozen ViT. One that '
            'trains stays in float32; use AMP to compute in half precision.'
        )
    # Image-text matching takes no part in retrieval.
    blip2.itm_head.requires_grad_(False)
    tower = blip2.vision_model
    for part in (tower.embeddings, tower.encoder):
        part.to(getattr(torch, vision_dtype))
    return frozen


def set_grad_checkpointing(blip2: nn.Module, enable: bool) -> None:
    """Switch recomputation of activations on or off.

    Args:
        blip2 (nn.Module): The model.
        enable (bool): Whether to recompute.
    """
    # transformers renames these two; both names are in use.
    prefix = (
        'activation'
        if hasattr(blip2, 'activation_checkpointing_enable')
        else 'gradient'
    )
    if not enable:
        getattr(blip2, f'{prefix}_checkpointing_disable')()
        return
    options = {f'{prefix}_checkpointing_kwargs': dict(use_reentrant=False)}
    getattr(blip2, f'{prefix}_checkpointing_enable')(**options)
