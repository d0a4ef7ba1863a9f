"""Queries of an image and a sentence by way of pseudo words."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtpr.models.encoders.open_clip.pseudo_words import end_positions
from mmtpr.registry import MODELS
from mmtpr.text.clip_tokenizer import build_tokenizer

from .features import QueryFeatures
from .prompt_template import PromptTemplate


@MODELS.register_module()
class PseudoWordQuery(BaseModule):
    """The image becomes a word of the sentence (Word4Per).

    Each TINet turns the image's feature into pseudo words, which take the
    placeholder's place in the template around the caption; the text tower
    encodes the sentence. Queries of several TINets are normalised, summed
    and normalised.

    Args:
        encoder (nn.Module): An :class:`OpenCLIPEncoder` or an adapter model
            around one. Filled in by the retriever, and not kept.
        tinets (dict | Sequence[dict]): Config of one TINet or more;
            ``in_dim`` and ``out_dim`` come from the encoder.
        template (str): Sentence of a query, ``{}`` for the caption. Defaults
            to ``'a * is , {}'``.
        placeholder (str): Word of the template to be replaced, one token.
            Defaults to ``'*'``.
        prompt (str): Text before the pseudo words in training. Defaults to
            ``'a photo of'``.
        tokenizer (str | dict, optional): That of ``mmtpr.TokenizeCaption`` in
            the pipeline. Defaults to None: mmtpr's tools put in that of the
            encoder; elsewhere it is CLIP's.
        init_cfg (dict, optional): Initialization config.

    Raises:
        ValueError: If the tokenizer splits the placeholder, or the template
            does not have it exactly once.
    """

    #: Whether :meth:`forward` is to be told how long captions are.
    takes_length = True

    tinets: Any

    def __init__(
        self,
        encoder: Any,
        tinets: dict | Sequence[dict] | None = None,
        template: str = 'a * is , {}',
        placeholder: str = '*',
        prompt: str = 'a photo of',
        tokenizer: str | dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        tinets = tinets or dict(type='mmtpr.TINet')
        tinets = [tinets] if isinstance(tinets, dict) else tinets
        widths = dict(in_dim=encoder.embed_dim, out_dim=encoder.word_width)
        self.tinets = nn.ModuleList(
            MODELS.build({**widths, **tinet}) for tinet in tinets
        )
        number = max(tinet.num_words for tinet in self.tinets)
        tokenize = build_tokenizer(
            tokenizer or 'ViT-B-16', encoder.context_length
        )
        self.template = PromptTemplate(
            encoder.clip, tokenize, template, placeholder, number - 1
        )
        tokens = tokenize([prompt])
        end = int(end_positions(encoder.clip, tokens)[0])
        self._prompt_length = end + 1
        self._check_prompt(prompt, number, tokens.shape[1])
        self.register_buffer('prompt', tokens, persistent=False)

    def _check_prompt(self, prompt: str, number: int, length: int) -> None:
        if length - number < 2:
            raise ValueError(
                f'{number} pseudo words do not fit behind the prompt '
                f'"{prompt}" into the {length} tokens of the text tower: use '
                'fewer words, or raise context_length of the encoder.'
            )

    def forward(
        self,
        encoder: Any,
        images: Tensor,
        tokens: Tensor,
        length: int | None = None,
    ) -> QueryFeatures:
        """Make queries.

        Args:
            encoder (nn.Module): The encoder.
            images (Tensor): Reference images of shape (B, 3, H, W).
            tokens (Tensor): Captions, token ids of shape (B, L).
            length (int, optional): Positions that the captions need at most,
                with their end-of-text token. Defaults to None: the device is
                asked.

        Returns:
            QueryFeatures: The queries; the rows of several TINets are there
            one by one too.
        """
        return self.compose(
            encoder, encoder.encode_image(images), tokens, length
        )

    def compose(
        self,
        encoder: Any,
        image_feats: Tensor,
        tokens: Tensor,
        length: int | None = None,
    ) -> QueryFeatures:
        """Make queries of image features.

        Args:
            encoder (nn.Module): The encoder.
            image_feats (Tensor): Un-normalised features of shape (B, D).
            tokens (Tensor): Captions, token ids of shape (B, L).
            length (int, optional): See :meth:`forward`.

        Returns:
            QueryFeatures: See :meth:`forward`.
        """
        ends = end_positions(encoder.clip, tokens)
        sentences, cut = self.template(tokens, ends)
        sentence = length and self.template.sentence_length(length)
        parts = [
            encoder.encode_text_with_words(
                sentences,
                tinet(image_feats),
                self.template.placeholder_id,
                self._with_words(sentence, tinet.num_words - 1),
            )
            for tinet in self.tinets
        ]
        fused = fuse_features(parts)
        rows = {'image': image_feats}
        if len(parts) > 1:
            rows.update((f'tinet{i}', part) for i, part in enumerate(parts))
        return QueryFeatures(fused, fused, rows, cut)

    def mix(
        self,
        encoder: Any,
        images: Tensor,
        query: QueryFeatures,
        tokens: Tensor,
        length: int | None = None,
    ) -> Tensor:
        """Make queries of the same images with other sentences.

        Args:
            encoder (nn.Module): The encoder.
            images (Tensor): Reference images of shape (B, 3, H, W).
            query (QueryFeatures): What :meth:`forward` made of them; the
                image tower is not run again.
            tokens (Tensor): Other captions, token ids of shape (B, L).
            length (int, optional): See :meth:`forward`.

        Returns:
            Tensor: Query vectors of shape (B, D).
        """
        return self.compose(encoder, query.rows['image'], tokens, length).feats

    def prompts(self, encoder: Any, image_feats: Tensor) -> list[Tensor]:
        """Encode the prompt followed by each image's pseudo words.

        Args:
            encoder (nn.Module): The encoder.
            image_feats (Tensor): Un-normalised features of shape (B, D).

        Returns:
            list[Tensor]: Of each TINet, un-normalised, (B, D).
        """
        return [
            encoder.encode_text_with_words(
                self.prompt,
                tinet(image_feats),
                length=self._with_words(self._prompt_length, tinet.num_words),
            )
            for tinet in self.tinets
        ]

    def _with_words(self, length: int | None, more: int) -> int | None:
        """Positions that a text needs with the words put into it."""
        return length and min(length + more, self.prompt.shape[1])


def fuse_features(parts: Sequence[Tensor]) -> Tensor:
    """Normalise, sum, normalise; one alone stays as it is.

    Args:
        parts (Sequence[Tensor]): Features of shape (B, D).

    Returns:
        Tensor: Of shape (B, D).
    """
    if len(parts) == 1:
        return parts[0]
    total: Any = sum(F.normalize(part.float(), dim=-1) for part in parts)
    return F.normalize(total, dim=-1)


@MODELS.register_module()
class EncoderQuery(BaseModule):
    """Queries made by the encoder itself, as a Q-Former does.

    The encoder offers ``encode_query(images, tokens, return_hidden=True)``
    with vectors (B, D) and hidden states (B, H).

    Args:
        encoder (nn.Module): Filled in by the retriever, and not kept.
        init_cfg (dict, optional): Initialization config.
    """

    def __init__(self, encoder: Any, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if not hasattr(encoder, 'encode_query'):
            raise TypeError(
                f'{type(encoder).__name__} makes no queries of image and '
                "sentence; give the retriever query=dict(type='mmtpr."
                "PseudoWordQuery')."
            )

    def forward(
        self, encoder: Any, images: Tensor, tokens: Tensor
    ) -> QueryFeatures:
        """Make queries.

        Args:
            encoder (nn.Module): The encoder.
            images (Tensor): Reference images of shape (B, 3, H, W).
            tokens (Tensor): Captions, token ids of shape (B, L).

        Returns:
            QueryFeatures: The queries.
        """
        feats, hidden = encoder.encode_query(
            images, tokens, return_hidden=True
        )
        return QueryFeatures(feats, hidden)

    def mix(
        self,
        encoder: Any,
        images: Tensor,
        query: QueryFeatures,
        tokens: Tensor,
        length: int | None = None,
    ) -> Tensor:
        """See :meth:`PseudoWordQuery.mix`; the encoder reads images again."""
        return self(encoder, images, tokens).feats
