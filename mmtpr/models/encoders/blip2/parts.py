"""What of BLIP-2 trains, and how."""

from collections.abc import Sequence

import torch
from torch import nn

#: Part -> names in transformers' model. The norm over the image tower is a
#: part of its own: it trains over a frozen tower.
_PARTS = {
    'vision': ('vision_model.embeddings', 'vision_model.encoder'),
    'ln_vision': ('vision_model.post_layernorm',),
    'qformer': ('query_tokens', 'embeddings', 'qformer'),
    'projection': ('vision_projection', 'text_projection'),
}
_DTYPES = ('float32', 'bfloat16', 'float16')


def _parts(
    blip2: nn.Module, names: Sequence[str]
) -> list[nn.Module | nn.Parameter]:
    parts = []
    for path in (path for name in names for path in _PARTS[name]):
        owner, _, attribute = path.rpartition('.')
        parts.append(getattr(blip2.get_submodule(owner), attribute))
    return parts


def freeze(
    blip2: nn.Module, frozen: Sequence[str], vision_dtype: str = 'float32'
) -> tuple[str, ...]:
    """Freeze parts, and hold the image tower in another precision.

    Args:
        blip2 (nn.Module): The model, changed in place.
        frozen (Sequence[str]): ``'vision'``, ``'ln_vision'``, ``'qformer'``,
            ``'projection'``.
        vision_dtype (str): ``'float32'``, ``'bfloat16'`` or ``'float16'``.

    Returns:
        tuple[str, ...]: The frozen parts.

    Raises:
        ValueError: If a part or a type is unknown, or a tower that trains
            should be held in half precision.
    """
    frozen = (frozen,) if isinstance(frozen, str) else tuple(frozen)
    unknown = [part for part in frozen if part not in _PARTS]
    if unknown:
        raise ValueError(
            f'frozen takes {sorted(_PARTS)}, got {", ".join(unknown)}.'
        )
    if vision_dtype not in _DTYPES:
        raise ValueError(
            f'vision_dtype must be one of {_DTYPES}, got {vision_dtype!r}.'
        )
    if vision_dtype != 'float32' and 'vision' not in frozen:
        raise ValueError(
            f'vision_dtype={vision_dtype!r} is for a frozen ViT. One that '
            'trains stays in float32; use AMP to compute in half precision.'
        )
    # Picture-text matching takes no part in retrieval.
    blip2.itm_head.requires_grad_(False)
    for part in _parts(blip2, frozen):
        part.requires_grad_(False)
    for part in _parts(blip2, ('vision',)):
        part.to(getattr(torch, vision_dtype))
    return frozen


def rest_frozen(blip2: nn.Module, frozen: Sequence[str]) -> None:
    """Put frozen parts into evaluation mode.

    A part in which something trains all the same, as adapters do, keeps its
    mode: recomputation of activations asks for training mode.

    Args:
        blip2 (nn.Module): The model.
        frozen (Sequence[str]): See :func:`freeze`.
    """
    for part in _parts(blip2, frozen):
        if isinstance(part, nn.Module) and not any(
            p.requires_grad for p in part.parameters()
        ):
            part.eval()


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
