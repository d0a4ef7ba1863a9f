"""BLIP-2 stage 1: an EVA ViT and a Q-Former that reads captions."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.models.freezing import frozen_layers, rest_frozen
from mmtpr.registry import MODELS

from ..input_checks import check_bert_length, check_image_size
from .attention import qformer_mask
from .build import blip2_config, build_image_size
from .parts import PARTS, freeze_parts, set_grad_checkpointing
from .weights import create_with_weights


@MODELS.register_module()
class BLIP2Encoder(nn.Module):
    """Images as 32 tokens, captions and image with caption as vectors.

    The model is transformers' ``Blip2ForImageTextRetrieval``, the attribute
    ``blip2``, and needs the extra ``[blip2]``. Captions are BERT tokens with
    0 as padding, see :class:`mmtpr.datasets.transforms.TokenizeBert`;
    images have CLIP's mean and standard deviation.

    Args:
        model (str | PathLike | dict, optional): ``'vit-g'``, a folder or hub
            name with a ``config.json``, or a dict of what differs from
            ViT-g: ``vision_config``, ``qformer_config``,
            ``num_query_tokens``, ``image_text_hidden_size``. Defaults to
            None: that of ``pretrained`` if it has one, else ViT-g.
        pretrained (str | PathLike, optional): Hub name
            (``'Salesforce/blip2-itm-vit-g'``), a folder in transformers'
            form, a file of LAVIS, of FAFA's release or of mmtpr, or None for
            random weights.
        image_size (tuple[int, int] | int, optional): Height and width of the
            images. The grid of positions is resized bicubically where it
            differs. Defaults to None: that of the model.
        frozen (Sequence[str]): What does not train: ``'vision'`` (the ViT),
            ``'ln_vision'`` (the norm over it), ``'qformer'``,
            ``'projection'``. Defaults to ``('vision', )``, as published.
        vision_dtype (str): In what a frozen ViT is held: ``'float32'``,
            ``'bfloat16'`` or ``'float16'``. Defaults to ``'float32'``.
        grad_checkpointing (bool): Whether to recompute activations in the
            backward pass to save memory. Defaults to False.
        temperature (float): Divisor of cosines where the weights bring none.
            Defaults to 0.07.
        learn_temperature (bool): Whether it trains. Defaults to False.
        dropout (float, optional): Of the Q-Former. Defaults to None: what
            the config says, 0.1.
        ln_vision_eps (float): Epsilon of the norm over the ViT. Defaults to
            1e-5, which LAVIS trained with; transformers takes the ViT's 1e-6.

    Attributes:
        embed_dim (int): Width D of the shared space.
        hidden_dim (int): Width H of the Q-Former.
        vision_width (int): Width of the ViT.
        num_queries (int): Tokens T of an image.
        vocab_size, context_length (int): Of the text side.
        image_size (tuple[int, int]): Height and width.

    Examples:
        >>> encoder = dict(
        ...     type='mmtpr.BLIP2Encoder',
        ...     pretrained='Salesforce/blip2-itm-vit-g')
    """

    #: Token id of padding.
    pad_token_id = 0

    # Blip2ForImageTextRetrieval of transformers.
    blip2: Any

    def __init__(
        self,
        model: str | PathLike | dict | None = None,
        pretrained: str | PathLike | None = None,
        image_size: tuple[int, int] | int | None = None,
        frozen: Sequence[str] = ('vision',),
        vision_dtype: str = 'float32',
        grad_checkpointing: bool = False,
        temperature: float = 0.07,
        learn_temperature: bool = False,
        dropout: float | None = None,
        ln_vision_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        config = blip2_config(model, pretrained, dropout)
        self.blip2, own = create_with_weights(
            config, pretrained, ln_vision_eps
        )
        start = torch.tensor(float(temperature)) if own is None else own
        self.temperature = nn.Parameter(start.clone(), learn_temperature)
        self._describe(config, image_size)
        self.frozen = freeze_parts(self.blip2, frozen, vision_dtype)
        if grad_checkpointing:
            self.set_grad_checkpointing()

    def _describe(self, config, image_size) -> None:
        self.embed_dim = config.image_text_hidden_size
        self.hidden_dim = config.qformer_config.hidden_size
        self.vision_width = config.vision_config.hidden_size
        self.num_queries = config.num_query_tokens
        self.vocab_size = config.qformer_config.vocab_size
        self.context_length = config.qformer_config.max_position_embeddings
        self.image_size = build_image_size(config, image_size)
        native = config.vision_config.image_size
        self._resize_positions = self.image_size != (native, native)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Switch recomputation of activations on or off.

        Args:
            enable (bool): Defaults to True.
        """
        set_grad_checkpointing(self.blip2, enable)

    def train(self, mode: bool = True) -> 'BLIP2Encoder':
        """Set the mode; frozen parts stay in evaluation, adapters do not.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            BLIP2Encoder: Itself.
        """
        super().train(mode)
        rest_frozen(frozen_layers(self.blip2, PARTS, self.frozen))
        return self

    def encode_vision(self, images: Tensor) -> Tensor:
        """Encode images with the ViT and the norm over it.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).

        Returns:
            Tensor: Of shape (B, 1 + patches, vision_width), the class token
            first.

        Raises:
            ValueError: If the images have not the encoder's size.
        """
        check_image_size(images, self.image_size)
        output = self.blip2.vision_model(
            pixel_values=images,
            interpolate_pos_encoding=self._resize_positions,
        )
        return output.last_hidden_state

    def query_vision(self, vision: Tensor) -> Tensor:
        """Let the queries read images.

        Args:
            vision (Tensor): Output of :meth:`encode_vision`.

        Returns:
            Tensor: Hidden states of shape (B, T, H).
        """
        return self.blip2.qformer(
            query_embeds=self._queries(len(vision)),
            encoder_hidden_states=vision,
        ).last_hidden_state

    def fuse(
        self, vision: Tensor, tokens: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Let queries and captions read each other, the queries images.

        Args:
            vision (Tensor): Output of :meth:`encode_vision`, B images.
            tokens (Tensor): B captions, token ids of shape (B, L).
            mask (Tensor, optional): 1 where a token counts, (B, L). Defaults
                to None: everything but padding.

        Returns:
            Tensor: Hidden states of shape (B, T + L, H); the caption's
            [CLS] is at T.
        """
        mask = self._mask(tokens, mask)
        queries = self._queries(len(vision))
        seen = mask.new_ones(queries.shape[:2])
        mask = torch.cat([seen, mask], dim=1)
        return self.blip2.qformer(
            query_embeds=self.blip2.embeddings(
                input_ids=tokens, query_embeds=queries
            ),
            query_length=self.num_queries,
            attention_mask=qformer_mask(self.blip2.qformer, mask),
            encoder_hidden_states=vision,
        ).last_hidden_state

    def _queries(self, number: int) -> Tensor:
        return self.blip2.query_tokens.expand(number, -1, -1)

    def _mask(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        check_bert_length(tokens, self.context_length)
        return (tokens != self.pad_token_id).long() if mask is None else mask

    def encode_query(
        self,
        images: Tensor,
        tokens: Tensor,
        mask: Tensor | None = None,
        return_hidden: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Embed reference images with their sentences.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).
            tokens (Tensor): Token ids of shape (B, L).
            mask (Tensor, optional): See :meth:`fuse`.
            return_hidden (bool): Whether to return what is projected too.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Of shape (B, D), L2-normalised,
            float32; and hidden states of shape (B, H) on demand.
        """
        fused = self.fuse(self.encode_vision(images), tokens, mask)
        hidden = fused[:, self.num_queries]
        feats = _normalized(self.blip2.text_projection(hidden))
        return (feats, hidden) if return_hidden else feats

    def encode_target(
        self, images: Tensor, return_hidden: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Embed images as tokens.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).
            return_hidden (bool): Whether to return what is projected too.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Of shape (B, T, D),
            L2-normalised, float32; and hidden states of shape (B, T, H) on
            demand.
        """
        hidden = self.query_vision(self.encode_vision(images))
        feats = _normalized(self.blip2.vision_projection(hidden))
        return (feats, hidden) if return_hidden else feats

    def encode_text_only(
        self, tokens: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Embed captions without image.

        Args:
            tokens (Tensor): Token ids of shape (K, L).
            mask (Tensor, optional): See :meth:`fuse`.

        Returns:
            Tensor: Of shape (K, D), L2-normalised, float32.
        """
        mask = self._mask(tokens, mask)
        hidden = self.blip2.qformer(
            attention_mask=qformer_mask(self.blip2.qformer, mask),
            query_embeds=self.blip2.embeddings(input_ids=tokens),
            query_length=0,
        ).last_hidden_state
        return _normalized(self.blip2.text_projection(hidden[:, 0]))

    def encode_image(self, images: Tensor) -> Tensor:
        """Embed images. See :meth:`encode_target`.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).

        Returns:
            Tensor: Of shape (B, T, D), L2-normalised, float32.
        """
        # Without return_hidden it is tokens alone.
        return self.encode_target(images)  # type: ignore[return-value]

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embed captions. See :meth:`encode_text_only`.

        Args:
            tokens (Tensor): Token ids of shape (K, L).

        Returns:
            Tensor: Of shape (K, D), L2-normalised, float32.
        """
        return self.encode_text_only(tokens)

    def forward(
        self, images: Tensor | None = None, tokens: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode images, captions or both, each by itself.

        Args:
            images (Tensor, optional): Of shape (B, 3, H, W).
            tokens (Tensor, optional): Of shape (K, L).

        Returns:
            tuple[Tensor | None, Tensor | None]: Of shape (B, T, D) and
            (K, D).
        """
        return (
            None if images is None else self.encode_image(images),
            None if tokens is None else self.encode_text(tokens),
        )


def _normalized(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)
