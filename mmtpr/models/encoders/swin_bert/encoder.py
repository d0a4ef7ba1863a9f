"""Swin and BERT as a cross-modal encoder: APTM, Filtering-WoRA."""

from collections.abc import Callable, Collection
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmtpr.models.freezing import freeze
from mmtpr.registry import MODELS

from ..contract import KeysValues
from ..input_checks import check_bert_tokens, check_image_size
from .build import (
    build_bert,
    build_matching_head,
    build_swin,
    run_swin,
)
from .cross_layers import attention_bias, run_cross_layers, text_layer
from .weights import load_bert, load_swin, load_whole


@MODELS.register_module()
class SwinBertEncoder(nn.Module):
    """Swin for images, BERT whose upper layers read images for captions.

    The base model of Filtering-WoRA (APTM, MM 2023): ``vision``, a
    ``mmpretrain.SwinTransformer``; ``bert``, transformers' ``BertForMaskedLM``
    (extra ``[blip2]``), of which layers below ``fusion_layer`` encode
    captions and the others fuse; two projections into the shared space; a
    head that judges pairs. Captions are BERT tokens with 0 as padding, see
    :class:`mmtpr.datasets.transforms.TokenizeBert`.

    Everything pretrained goes in here, before adapters are injected.

    Args:
        image (dict, optional): What differs from Swin-B with windows of 8,
            by the names of ``mmpretrain.SwinTransformer``. Windows follow the
            release: they shrink to the map and do not shift there. Small
            towers from scratch want ``init_std`` and ``position_std``, which
            say how wide random weights are drawn.
        text (dict, optional): What differs from BERT-base, by the names of
            ``transformers.BertConfig``.
        image_size (tuple[int, int]): Height and width of the images.
            Defaults to (384, 128).
        fusion_layer (int): First layer of BERT that reads images, from 0.
            Defaults to 6.
        embed_dim (int): Width D of the shared space. Defaults to 256.
        temperature (float): Divisor of cosines, which trains. Defaults to
            0.07.
        image_pretrained (str | PathLike, optional): File of Microsoft's Swin
            or of mmpretrain.
        text_pretrained (str | PathLike, optional): Hub name
            (``'bert-base-uncased'``) or folder in transformers' form.
        pretrained (str | PathLike, optional): File with the whole encoder,
            of APTM's release or of an mmtpr retriever.
        grad_checkpointing (bool): Whether to recompute activations in the
            backward pass to save memory. Defaults to False.

    Attributes:
        embed_dim (int): Width of the shared space.
        image_token_width, text_token_width (int): Widths of the tokens.
        vocab_size, context_length (int): Of BERT.
        image_size (tuple[int, int]): Height and width.
        temperature (nn.Parameter): Divisor of cosines.

    Examples:
        >>> encoder = dict(
        ...     type='mmtpr.SwinBertEncoder',
        ...     image_pretrained='swin_base_patch4_window7_224_22k.pth',
        ...     text_pretrained='bert-base-uncased')
    """

    #: Token id of padding.
    pad_token_id = 0

    # Models of mmpretrain and transformers.
    vision: Any
    bert: Any

    def __init__(
        self,
        image: dict[str, Any] | None = None,
        text: dict[str, Any] | None = None,
        image_size: tuple[int, int] = (384, 128),
        fusion_layer: int = 6,
        embed_dim: int = 256,
        temperature: float = 0.07,
        image_pretrained: str | PathLike | None = None,
        text_pretrained: str | PathLike | None = None,
        pretrained: str | PathLike | None = None,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature must be > 0, got {temperature}.')
        self.image_size = (*image_size,)
        self.fusion_layer = fusion_layer
        self.vision, self.windows = build_swin(image, self.image_size)
        self.image_token_width = self.vision.num_features[-1]
        self.bert = build_bert(text, fusion_layer, self.image_token_width)
        config = self.bert.config
        self.text_token_width = config.hidden_size
        self.vocab_size = config.vocab_size
        self.context_length = config.max_position_embeddings
        self.embed_dim = embed_dim
        self.image_projection = nn.Linear(self.image_token_width, embed_dim)
        self.text_projection = nn.Linear(self.text_token_width, embed_dim)
        self.itm_head = build_matching_head(self.text_token_width)
        self.temperature = nn.Parameter(torch.tensor(float(temperature)))
        self.grad_checkpointing = False
        self._load(image_pretrained, text_pretrained, pretrained)
        if grad_checkpointing:
            self.set_grad_checkpointing()

    def _load(self, image, text, whole) -> None:
        if whole is not None and (image is not None or text is not None):
            raise ValueError(
                'pretrained holds the whole encoder: leave image_pretrained '
                'and text_pretrained out.'
            )
        if image is not None:
            load_swin(self.vision, image, self.windows)
        if text is not None:
            load_bert(self.bert, text)
        if whole is not None:
            load_whole(self, whole, self.windows)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Switch recomputation of activations on or off.

        Args:
            enable (bool): Defaults to True.
        """
        self.grad_checkpointing = enable

    def _run(self, layer: Callable, *args: Any) -> Tensor:
        if self.grad_checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, *args, use_reentrant=False)
        return layer(*args)

    def encode_image(
        self, images: Tensor, return_tokens: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            images (Tensor): Normalised images of shape (M, 3, H, W).
            return_tokens (bool): Whether to return the tokens too.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Projected features, not
            normalised, of shape (M, D); and tokens of shape
            (M, 1 + N, image_token_width), their mean first.

        Raises:
            ValueError: If the images have not the encoder's size.
        """
        check_image_size(images, self.image_size)
        tokens = run_swin(self.vision, images, self._run)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
        features = self.image_projection(tokens[:, 0])
        return (features, tokens) if return_tokens else features

    def encode_text(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        return_tokens: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Encode captions.

        Args:
            tokens (Tensor): Token ids of shape (K, L).
            mask (Tensor, optional): 1 where a token counts, (K, L). Defaults
                to None: everything but padding.
            return_tokens (bool): Whether to return the states too.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Projected features, not
            normalised, of shape (K, D); and states of shape
            (K, L, text_token_width).

        Raises:
            ValueError: If the captions are longer than BERT's positions, or
                (on the CPU) have words beyond its vocabulary.
        """
        check_bert_tokens(tokens, self.context_length, self.vocab_size)
        mask = self.text_mask(tokens) if mask is None else mask
        hidden = self.bert.bert.embeddings(input_ids=tokens)
        bias = attention_bias(mask, hidden.dtype)
        for layer in self.bert.bert.encoder.layer[: self.fusion_layer]:
            hidden = self._run(text_layer, layer, hidden, bias)
        features = self.text_projection(hidden[:, 0])
        return (features, hidden) if return_tokens else features

    def text_mask(self, tokens: Tensor) -> Tensor:
        """Mark the tokens that count.

        Args:
            tokens (Tensor): Token ids of shape (K, L).

        Returns:
            Tensor: 1 but for padding, of shape (K, L), long.
        """
        return (tokens != self.pad_token_id).long()

    @property
    def cross_layers(self) -> nn.ModuleList:
        """The layers of BERT that read images."""
        return self.bert.bert.encoder.layer[self.fusion_layer :]

    def image_keys_values(self, image_embeds: Tensor) -> KeysValues:
        """Compute keys and values that the cross layers read of images.

        Args:
            image_embeds (Tensor): Tokens of shape (M, N, image_token_width).

        Returns:
            KeysValues: Keys and values for each cross layer,
            of shape (M, heads, N, text_token_width / heads).
        """
        layers: Any = self.cross_layers
        return [
            layer.crossattention.keys_values(image_embeds) for layer in layers
        ]

    def prepare_text(self, text_embeds: Tensor, text_mask: Tensor) -> Tensor:
        """Let captions read themselves in the first cross layer.

        That comes before any image: once for a caption, whatever number of
        images it meets.

        Args:
            text_embeds (Tensor): States of captions, of shape (K, L, Wt).
            text_mask (Tensor): 1 where a token counts, of shape (K, L).

        Returns:
            Tensor: For :meth:`fuse` with ``prepared``, (K, L, Wt).
        """
        bias = attention_bias(text_mask, text_embeds.dtype)
        first: Any = self.cross_layers[0]
        return first.attention(text_embeds, bias)[0]

    def fuse(
        self,
        text_embeds: Tensor,
        text_mask: Tensor,
        keys_values: KeysValues,
        only_first: bool = False,
        prepared: bool = False,
    ) -> Tensor:
        """Let captions read images, the i-th caption the i-th image.

        Args:
            text_embeds (Tensor): States of captions, of shape (P, L, Wt).
            text_mask (Tensor): 1 where a token counts, of shape (P, L).
            keys_values (KeysValues): Of P images, see
                :meth:`image_keys_values`.
            only_first (bool): Whether only [CLS] is wanted, all that
                :meth:`match` reads, which saves most of the last layer.
                Defaults to False.
            prepared (bool): Whether the states come from
                :meth:`prepare_text`. Defaults to False.

        Returns:
            Tensor: Of shape (P, L, Wt), or (P, 1, Wt) with ``only_first``.
        """
        bias = attention_bias(text_mask, text_embeds.dtype)
        layers = list(zip(self.cross_layers, keys_values, strict=True))
        return run_cross_layers(
            layers, text_embeds, bias, self._run, only_first, prepared
        )

    def match(self, fused: Tensor) -> Tensor:
        """Judge pairs.

        Args:
            fused (Tensor): Output of :meth:`fuse`.

        Returns:
            Tensor: Logits of "no" and "yes", of shape (P, 2).
        """
        return self.itm_head(fused[:, 0])

    def predict_words(self, fused: Tensor) -> Tensor:
        """Tell what words stand at some places.

        Args:
            fused (Tensor): States of shape (..., Wt).

        Returns:
            Tensor: Logits of shape (..., vocab_size).
        """
        return self.bert.cls(fused)

    def freeze_unused(self, used: Collection[str]) -> None:
        """Freeze what serves none of the uses that losses make of it.

        Args:
            used (Collection[str]): Of ``'match'``, ``'words'``,
                ``'features'`` and ``'temperature'``.
        """
        layers = range(self.fusion_layer, len(self.bert.bert.encoder.layer))
        indices = '|'.join(map(str, layers))
        serves = {
            r'itm_head': {'match'},
            # Word embeddings are tied to this head, but named before it: they
            # serve all captions and train on.
            r'bert\.cls': {'words'},
            rf'bert\.bert\.encoder\.layer\.({indices})': {'match', 'words'},
            r'(image|text)_projection': {'features'},
            r'temperature': {'temperature'},
        }
        idle = [name for name, uses in serves.items() if not uses & {*used}]
        freeze(self, {'idle': idle}, 'idle')

    def forward(
        self, images: Tensor | None = None, tokens: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode images, captions or both, each by itself.

        Args:
            images (Tensor, optional): Of shape (M, 3, H, W).
            tokens (Tensor, optional): Of shape (K, L).

        Returns:
            tuple[Tensor | None, Tensor | None]: Of shape (M, D) and (K, D).
        """
        # Without return_tokens it is features alone.
        return (  # type: ignore[return-value]
            None if images is None else self.encode_image(images),
            None if tokens is None else self.encode_text(tokens),
        )
