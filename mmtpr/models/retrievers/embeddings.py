"""Several embeddings of one image or caption, and their common similarity."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.registry import MODELS

from .accumulation import View
from .build_loss import fill_from_encoder


def join_embeddings(
    parts: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """Join embeddings so that one dot product is the mean of their cosines.

    Each is normalised and multiplied by the root of its share of the weights;
    the dot product of two joined embeddings is the sum of the parts' cosines,
    each times its share. So whatever ranks, stores or exports one embedding
    of an image does so with several.

    Args:
        parts (Sequence[Tensor]): Embeddings of shapes (..., D1), (..., D2),
            ..., of which axes before the last may be 1 where others are not.
        weights (Sequence[float]): Their weights, not negative, of any sum.
            Parts of weight 0 are left out.

    Returns:
        Tensor: Of shape (..., D1 + D2 + ...), float32, L2-normalised.

    Raises:
        ValueError: If no weight is positive.
    """
    total = sum(check_weights(weights))
    joined = [
        F.normalize(part.float(), dim=-1) * (weight / total) ** 0.5
        for part, weight in zip(parts, weights, strict=True)
        if weight
    ]
    if len(joined) == 1:
        return joined[0]
    shapes = [part.shape[:-1] for part in joined]
    shape = torch.broadcast_shapes(*shapes)
    return torch.cat([p.expand(*shape, -1) for p in joined], dim=-1)


def check_weights(weights: Sequence[float]) -> list[float]:
    """Check weights of embeddings.

    Args:
        weights (Sequence[float]): The weights.

    Returns:
        list[float]: The same.

    Raises:
        ValueError: If one is negative or none is positive.
    """
    if min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(
            'Weights of embeddings must not be negative, and one must be '
            f'positive, got {[*weights]}.'
        )
    return [*weights]


def build_necks(
    necks: Mapping[str, Any] | None, encoder: Any
) -> nn.ModuleDict:
    """Build what makes further embeddings of attended tokens.

    Args:
        necks (Mapping[str, dict], optional): Name -> config of a neck such
            as ``mmtpr.TokenSelection``; what it has to know of the encoder is
            filled in.
        encoder (Any): A dual encoder, or an adapter model around one.

    Returns:
        nn.ModuleDict: The necks by name, maybe none.

    Raises:
        TypeError: If the encoder does not give its attention.
        ValueError: If a neck is no dict with a type.
    """
    if not necks:
        return nn.ModuleDict()
    if not hasattr(encoder, 'offer_attention'):
        raise TypeError(
            f'{type(encoder).__name__} does not tell what its last block '
            f'attends to, which the necks {", ".join(necks)} ask for: use '
            'mmtpr.OpenCLIPEncoder, or leave necks out.'
        )
    encoder.offer_attention()
    built = nn.ModuleDict()
    for name, neck in necks.items():
        if not isinstance(neck, nn.Module):
            neck = MODELS.build(
                fill_from_encoder(f'necks.{name}', neck, encoder)
            )
        built[name] = neck
    return built


def embed_images(
    encoder: Any, necks: Any, images: Tensor, tokens: bool = False
) -> tuple[list[Tensor], Tensor | None]:
    """Embed images once for the encoder and all necks.

    Args:
        encoder (Any): The encoder.
        necks (nn.ModuleDict): The necks.
        images (Tensor): Of shape (M, 3, H, W).
        tokens (bool): Whether tokens are wanted too. Defaults to False.

    Returns:
        tuple[list[Tensor], Tensor | None]: The embeddings, not normalised,
        that of the encoder first, (M, D), (M, E), ...; tokens (M, N, W).
    """
    if necks:
        attended = encoder.attend_image(images)
        made = [neck.embed_image(attended) for neck in necks.values()]
        return [attended.features, *made], attended.tokens
    if tokens:
        features, tokens_ = encoder.encode_image(images, return_tokens=True)
        return [features], tokens_
    return [encoder.encode_image(images)], None


def embed_captions(encoder: Any, necks: Any, tokens: Tensor) -> list[Tensor]:
    """Embed captions once for the encoder and all necks.

    Args:
        encoder (Any): The encoder.
        necks (nn.ModuleDict): The necks.
        tokens (Tensor): Token ids of shape (K, L).

    Returns:
        list[Tensor]: The embeddings, not normalised, that of the encoder
        first, (K, D), (K, E), ...
    """
    if not necks:
        return [encoder.encode_text(tokens)]
    attended = encoder.attend_text(tokens)
    made = [neck.embed_text(attended) for neck in necks.values()]
    return [attended.features, *made]


def pair_views(
    encoder: Any,
    necks: nn.ModuleDict,
    losses: Mapping[str, Any],
    inputs: Mapping[str, Any],
    facts: Any,
) -> list[View]:
    """Encode pairs: one view for each embedding that losses are taken of.

    Args:
        encoder (Any): The encoder.
        necks (nn.ModuleDict): The necks.
        losses (Mapping[str, RetrievalLoss]): All losses by name.
        inputs (Mapping): Of the device, with ``image``, ``tokens`` and, for
            losses that need them, ``mlm_tokens`` and ``swapped_tokens``.
        facts (RetrievalFeatures): Ids and scale of these pairs.

    Returns:
        list[View]: Features with the losses that are taken of them.
    """
    needed = any(loss.needs_tokens for loss in losses.values())
    needed = needed and 'mlm_tokens' in inputs
    images, tokens = embed_images(encoder, necks, inputs['image'], needed)
    texts = embed_captions(encoder, necks, inputs['tokens'])
    swapped: list = [None] * len(texts)
    if 'swapped_tokens' in inputs:
        changed = inputs['swapped_tokens']  # (B, L)
        swapped = embed_captions(encoder, necks, changed)
        facts = replace(
            facts, swapped=(changed != inputs['tokens']).any(dim=1)
        )
    words = None
    if needed:
        _, words = encoder.encode_text(
            inputs['mlm_tokens'], return_tokens=True
        )
    views = []
    made = zip((None, *necks), images, texts, swapped, strict=True)
    for name, image, text, other in made:
        taken = {k: v for k, v in losses.items() if v.embedding == name}
        features = replace(
            facts, image_feats=image, text_feats=text, swapped_feats=other
        )
        if name is None and needed:
            features.image_tokens, features.mlm_text_tokens = tokens, words
        views += [View(features, taken)] if taken else []
    return views
