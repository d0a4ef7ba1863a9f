"""What of an open_clip model trains."""

from collections.abc import Sequence

from torch import nn

_TEXT_PARTS = (
    'text',
    'transformer',
    'token_embedding',
    'positional_embedding',
    'ln_final',
    'text_projection',
)
#: Part of a CLIP -> attributes of the open_clip model.
_PARTS = {'visual': ('visual',), 'text': _TEXT_PARTS}


def freeze(clip: nn.Module, frozen: Sequence[str]) -> tuple[str, ...]:
    """Freeze parts, and what takes no part in retrieval.

    Args:
        clip (nn.Module): Model of open_clip, changed in place.
        frozen (Sequence[str]): ``'visual'`` and/or ``'text'``.

    Returns:
        tuple[str, ...]: The frozen parts.

    Raises:
        ValueError: If a part is unknown.
    """
    frozen = (frozen,) if isinstance(frozen, str) else tuple(frozen)
    unknown = [part for part in frozen if part not in _PARTS]
    if unknown:
        raise ValueError(
            f'frozen takes {sorted(_PARTS)}, got {", ".join(unknown)}.'
        )
    for part in _parts(clip, frozen):
        part.requires_grad_(False)
    # CoCa's captions and SigLIP's bias take no part in retrieval.
    for name in ('text_decoder', 'logit_bias'):
        if getattr(clip, name, None) is not None:
            getattr(clip, name).requires_grad_(False)
    return frozen


def rest_frozen(clip: nn.Module, frozen: Sequence[str]) -> None:
    """Put frozen parts into evaluation mode.

    Args:
        clip (nn.Module): Model of open_clip.
        frozen (Sequence[str]): See :func:`freeze`.
    """
    for part in _parts(clip, frozen):
        if isinstance(part, nn.Module):
            part.eval()


def _parts(
    clip: nn.Module, frozen: Sequence[str]
) -> list[nn.Module | nn.Parameter]:
    names = [name for part in frozen for name in _PARTS[part]]
    parts = [getattr(clip, name, None) for name in names]
    return [part for part in parts if part is not None]
