"""What the class token and the end of a caption attend to in the last block.

The last block of a tower is told to hand its attention out with its result:
it runs once, and it alone goes without the fused kernel, which never builds
the attention. The blocks before it run as ever.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..input_checks import check_image_size
from .pseudo_words import end_positions, is_causal


class AttendedTokens(NamedTuple):
    """Features of a batch, their tokens, and which of them were attended to.

    Attributes:
        features (Tensor): Un-normalised features of shape (B, D).
        tokens (Tensor): All tokens of the last layer, of shape (B, N, W).
        attention (Tensor): How much the token that became the feature
            attends to each, averaged over heads, without gradient, (B, N).
        positions (Tensor): Where that token stands, of shape (B, ), long.
    """

    features: Tensor
    tokens: Tensor
    attention: Tensor
    positions: Tensor


class AttendingBlock(ResidualAttentionBlock):
    """A block of open_clip that can also hand its attention out."""

    # As torch.nn.Module sets them.
    attn: Any

    def forward(  # type: ignore[override]
        self,
        q_x: Tensor,
        k_x: Tensor | None = None,
        v_x: Tensor | None = None,
        attn_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run the block.

        Args:
            q_x (Tensor): Tokens of shape (B, N, W).
            k_x (Tensor, optional): See open_clip.
            v_x (Tensor, optional): See open_clip.
            attn_mask (Tensor, optional): Of shape (N, N), added.
            positions (Tensor, optional): Of each sample the token whose
                attention is wanted, (B, ), long. Defaults to None: none is,
                and the block is open_clip's.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Tokens (B, N, W), and with
            ``positions`` the attention (B, N), averaged over heads and
            without gradient.
        """
        if positions is None:
            return super().forward(q_x, k_x, v_x, attn_mask)
        if attn_mask is not None:
            attn_mask = attn_mask.to(q_x.dtype)
        x = self.ln_1(q_x)  # (B, N, W)
        out, weights = self.attn(
            x, x, x, need_weights=True, attn_mask=attn_mask
        )  # (B, N, W), (B, N, N)
        x = q_x + self.ls_1(out)
        x = x + self.ls_2(self.mlp(self.ln_2(x)))
        rows = torch.arange(len(x), device=x.device)
        return x, weights.detach()[rows, positions]


def offer_attention(clip: Any) -> None:
    """Make the last blocks of both towers able to hand their attention out.

    Names and weights stay, and so does what the towers compute.

    Args:
        clip (nn.Module): Model of open_clip, changed in place.

    Raises:
        TypeError: If a tower has no such block, or pools otherwise than by
            one of its tokens.
    """
    visual, text = clip.visual, getattr(clip, 'text', clip)
    if not (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == 'tok'
    ):
        raise TypeError(_refusal('image', 'its class token', visual))
    if not is_causal(text):
        raise TypeError(_refusal('text', 'its end-of-text token', text))
    for tower, transformer in (('image', visual), ('text', text)):
        block = transformer.transformer.resblocks[-1]
        if isinstance(block, AttendingBlock):
            continue
        plain = type(block) is ResidualAttentionBlock
        if not plain or not block.attn.batch_first:
            raise TypeError(
                f'The last block of the {tower} tower, a '
                f'{type(block).__name__}, does not give its attention: tokens '
                'cannot be selected by it. Take a CLIP with plain blocks, '
                'such as ViT-B-16, and open_clip_torch 2.25 or later.'
            )
        # Keys of the state dict, hooks and adapters inside stay as they are.
        block.__class__ = AttendingBlock


def attended_image(
    visual: Any, images: Tensor, project: bool
) -> AttendedTokens:
    """Run an image tower once, with the attention of its last block.

    Args:
        visual (VisionTransformer): Image tower.
        images (Tensor): Of shape (B, 3, H, W).
        project (bool): Whether to project tokens as the feature is.

    Returns:
        AttendedTokens: The class token first.
    """
    x = visual._embeds(images)  # (B, N, W)
    class_token = torch.zeros(len(x), dtype=torch.long, device=x.device)
    x, attention = _run(visual.transformer, x, None, class_token)
    features, _ = visual._pool(x)  # (B, W)
    tokens = visual.ln_post(x)  # (B, N, W)
    if visual.proj is not None:
        features = features @ visual.proj  # (B, D)
        tokens = tokens @ visual.proj if project else tokens  # (B, N, D)
    return AttendedTokens(features, tokens, attention, class_token)


def attended_text(clip: Any, tokens: Tensor, project: bool) -> AttendedTokens:
    """Run a text tower once, with the attention of its last block.

    Args:
        clip (nn.Module): Model of open_clip.
        tokens (Tensor): Token ids of shape (B, L).
        project (bool): Whether to project tokens as the feature is.

    Returns:
        AttendedTokens: All tokens, start, end and padding as well.
    """
    text = getattr(clip, 'text', clip)
    length = tokens.shape[1]
    dtype = text.transformer.get_cast_dtype()
    ends = end_positions(clip, tokens)  # (B,)
    x = text.token_embedding(tokens).to(dtype)  # (B, L, W)
    x = x + text.positional_embedding[:length].to(dtype)
    mask = text.attn_mask[:length, :length]
    x, attention = _run(text.transformer, x, mask, ends)
    words = text.ln_final(x)  # (B, L, W)
    rows = torch.arange(len(x), device=x.device)
    features = _projected(text, words[rows, ends])  # (B, D)
    words = _projected(text, words) if project else words  # (B, L, D)
    return AttendedTokens(features, words, attention, ends)


def _projected(text: Any, x: Tensor) -> Tensor:
    projection = text.text_projection
    if projection is None:
        return x
    return (
        projection(x)
        if isinstance(projection, nn.Module)
        else (x @ projection)
    )


def _run(
    transformer: Any, x: Tensor, mask: Tensor | None, positions: Tensor
) -> tuple[Tensor, Tensor]:
    """Run all blocks, (B, N, W) -> (B, N, W) and (B, N)."""
    for block in transformer.resblocks[:-1]:
        x = _call(transformer, block, x, mask)
    return _call(transformer, transformer.resblocks[-1], x, mask, positions)


def _call(transformer: Any, block: Any, x: Tensor, mask: Any, *more: Tensor):
    """Call a block as open_clip does, recomputed where that is on."""
    if transformer.grad_checkpointing:
        return checkpoint(
            block, x, None, None, mask, *more, use_reentrant=False
        )
    return block(x, None, None, mask, *more)


def _refusal(tower: str, token: str, module: nn.Module) -> str:
    name = type(getattr(module, 'trunk', module)).__name__
    return (
        f'The {tower} tower {name} does not make its feature of {token} '
        'alone, whose attention would select tokens. Take a CLIP such as '
        'ViT-B-16, or leave the neck out.'
    )


class AttendedTowers:
    """The part of an encoder of open_clip that gives attended tokens.

    Tokens are selected by what the token that becomes the feature attends to,
    see :class:`mmtpr.TokenSelection`.
    """

    clip: Any
    image_size: tuple[int, int]
    _project_image: bool
    _project_text: bool
    _check_length: Callable[[Tensor], None]

    def offer_attention(self) -> None:
        """Get ready for :meth:`attend_image` and :meth:`attend_text`.

        Weights, their names and the other methods stay as they are.

        Raises:
            TypeError: If a tower cannot give its attention.
        """
        offer_attention(self.clip)

    def attend_image(self, images: Tensor) -> AttendedTokens:
        """Encode images; tell what the class token attends to.

        One run of the tower, in which the last block alone goes without the
        fused kernel. :meth:`offer_attention` must have been called.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).

        Returns:
            AttendedTokens: Features (B, D), un-normalised, tokens
            (B, N, image_token_width), the class token first, attention
            (B, N) and positions (B, ).

        Raises:
            ValueError: If the images have not the encoder's size.
        """
        check_image_size(images, self.image_size)
        return attended_image(self.clip.visual, images, self._project_image)

    def attend_text(self, tokens: Tensor) -> AttendedTokens:
        """Encode captions; tell what the end-of-text token attends to.

        See :meth:`attend_image`.

        Args:
            tokens (Tensor): Token ids of shape (B, L), long.

        Returns:
            AttendedTokens: Features (B, D), un-normalised, tokens
            (B, L, text_token_width), attention (B, L) and positions (B, ).

        Raises:
            ValueError: If L is not what the encoder takes.
        """
        self._check_length(tokens)
        return attended_text(self.clip, tokens, self._project_text)
