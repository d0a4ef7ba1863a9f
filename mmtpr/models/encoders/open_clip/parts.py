"""Parts of an open_clip model that can be frozen."""

from torch import nn

#: Part of a CLIP -> patterns of names in the open_clip model, whose text
#: tower is one module (``text``) or lies open.
PARTS = {
    'visual': (r'visual',),
    'text': (
        r'text|transformer|token_embedding|positional_embedding|ln_final'
        r'|text_projection',
    ),
}


def freeze_unused(clip: nn.Module) -> None:
    """Freeze what takes no part in retrieval.

    That is CoCa's decoder of captions and SigLIP's bias.

    Args:
        clip (nn.Module): Model of open_clip, changed in place.
    """
    for name in ('text_decoder', 'logit_bias'):
        if getattr(clip, name, None) is not None:
            getattr(clip, name).requires_grad_(False)
