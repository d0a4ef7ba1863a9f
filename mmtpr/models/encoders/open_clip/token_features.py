"""Features of single patches and words from the towers of open_clip."""

from typing import Any

import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn


def image_width(visual: Any) -> int:
    """Width of an image tower's tokens before any projection.

    Args:
        visual (nn.Module): Image tower.

    Returns:
        int: The width.
    """
    if isinstance(visual, TimmModel):
        return visual.trunk.num_features
    if isinstance(visual, ModifiedResNet):
        return visual.attnpool.c_proj.in_features
    return visual.ln_post.normalized_shape[0]


def projects_tokens(visual: nn.Module) -> bool:
    """Tell whether the tower's projection applies to single tokens.

    Args:
        visual (nn.Module): Image tower.

    Returns:
        bool: False where pooling and projection are one.
    """
    if isinstance(visual, TimmModel):
        return len(visual.head) > 0 and not hasattr(visual.head, 'pool')
    return getattr(visual, 'proj', None) is not None


def image_tokens(
    visual: Any, images: Tensor, project: bool
) -> tuple[Tensor, Tensor]:
    """Run an image tower and keep the tokens of its last layer.

    Args:
        visual (nn.Module): Image tower.
        images (Tensor): Of shape (B, 3, H, W).
        project (bool): Whether to project tokens as the pooled feature is.

    Returns:
        tuple[Tensor, Tensor]: Pooled features (B, D), and normed tokens
        (B, N, W), the class token first where there is one.

    Raises:
        TypeError: If the tower gives no tokens.
    """
    if isinstance(visual, VisionTransformer):
        pooled, tokens = _vit_tokens(visual, images)
        return pooled, tokens @ visual.proj if project else tokens
    if not hasattr(getattr(visual, 'trunk', visual), 'forward_intermediates'):
        raise TypeError(
            f'The image tower {_name(visual)} gives no tokens, which the MLM '
            'loss needs: choose another tower or leave MLMLoss out.'
        )
    output = _intermediates(visual, images)
    tokens = output['image_intermediates'][-1]
    if tokens.dim() == 4:
        tokens = tokens.flatten(2).transpose(1, 2)
    prefix = output.get('image_intermediates_prefix')
    if prefix:
        tokens = torch.cat([prefix[-1], tokens], dim=1)
    return output['image_features'], visual.head(tokens) if project else tokens


def _name(visual: nn.Module) -> str:
    return type(getattr(visual, 'trunk', visual)).__name__


def _vit_tokens(visual: VisionTransformer, images: Tensor) -> tuple:
    if visual.attn_pool is not None:
        # The tokens are those of the pooler; open_clip hands them out itself.
        before, visual.output_tokens = visual.output_tokens, True
        try:
            return visual(images)
        finally:
            visual.output_tokens = before
    output = visual.forward_intermediates(
        images,
        indices=1,
        normalize_intermediates=True,
        output_fmt='NLC',
        output_extra_tokens=True,
    )
    parts = ('image_intermediates_prefix', 'image_intermediates')
    tokens = torch.cat([output[part][-1] for part in parts], dim=1)
    return output['image_features'], tokens


def _intermediates(visual: Any, images: Tensor) -> dict:
    options = {'indices': 1, 'normalize_intermediates': True}
    if getattr(getattr(visual, 'trunk', None), 'num_prefix_tokens', 0):
        options['output_extra_tokens'] = True
    return visual.forward_intermediates(images, **options)


def text_tokens(
    clip: Any, tokens: Tensor, project: bool
) -> tuple[Tensor, Tensor]:
    """Run the text tower and keep the tokens of its last layer.

    Args:
        clip (nn.Module): Model of open_clip.
        tokens (Tensor): Token ids of shape (B, L).
        project (bool): Whether to project tokens as the pooled feature is.

    Returns:
        tuple[Tensor, Tensor]: Pooled features (B, D) and normed tokens
        (B, L, W).
    """
    text = getattr(clip, 'text', None)
    if isinstance(text, HFTextEncoder):
        return _hf_tokens(text, tokens, project)
    options = {'normalize_intermediates': True}
    if text is None:
        output = clip.forward_intermediates(
            text=tokens, text_indices=1, normalize=False, **options
        )
    else:
        output = text.forward_intermediates(
            tokens, indices=1, output_fmt='NLC', **options
        )
    words = output['text_intermediates'][-1]
    projection = (clip if text is None else text).text_projection
    if project and projection is not None:
        is_module = isinstance(projection, nn.Module)
        words = projection(words) if is_module else words @ projection
    return output['text_features'], words


def _hf_tokens(text: HFTextEncoder, tokens: Tensor, project: bool) -> tuple:
    mask = (tokens != text.config.pad_token_id).long()
    output = text.transformer(input_ids=tokens, attention_mask=mask)
    words = output.last_hidden_state
    pooled = text.proj(text.pooler(output, mask))
    return pooled, text.proj(words) if project else words


def text_width(clip: Any) -> int:
    """Width of the text tower.

    Args:
        clip (nn.Module): Model of open_clip.

    Returns:
        int: The width.
    """
    text = getattr(clip, 'text', clip)
    if isinstance(text, HFTextEncoder):
        return text.config.hidden_size
    return text.ln_final.normalized_shape[0]
