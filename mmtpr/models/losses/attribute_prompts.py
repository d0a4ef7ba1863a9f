"""Attributes as sentences: contrast, matching and hidden words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmtpr.models.encoders.contract import CrossEncoder
from mmtpr.registry import MODELS
from mmtpr.text.bert_tokenizer import build_bert_tokenizer
from mmtpr.text.word_masking import WordMasker
from mmtpr.utils.precision import full_precision
from mmtpr.utils.transfer import to_device

from .base import CrossModalFeatures, CrossModalLoss
from .functional import draw_one, hidden_rows, upcast
from .matching import hidden_word_loss, pick

_UNKNOWN = -1
_IGNORE = -100


@MODELS.register_module()
class AttributePromptLoss(CrossModalLoss):
    """Attribute prompts of APTM: mean of IAC, IAM and MAM.

    Each binary attribute has a sentence for 0 and one for 1.

    - IAC: for each image and attribute, the cosine chooses between the two.
    - IAM: a few sentences are drawn, and the cross encoder says of each
      image whether they fit.
    - MAM: words of every sentence are hidden and told from a random image
      it fits; a sentence that fits none in the batch is left out.

    Unknown attributes (-1) do not count.

    Args:
        prompts (Sequence[Sequence[str]]): Sentences for 0 and for 1, in the
            order of the labels.
        vocab (str): Vocabulary as of :class:`TokenizeBert`.
        weight (float): Factor of the loss. Defaults to 0.8, as published.
        num_matched (int): Sentences that IAM draws. Defaults to 5.
        label_smoothing (float): Of IAC and IAM. Defaults to 0.
        max_length (int): Tokens of a sentence at most. Defaults to 56.
        masking (dict, optional): Arguments of
            :class:`mmtpr.text.word_masking.WordMasker`.
        vocab_size (int, optional): Words of the encoder, which must have all
            of the vocabulary. A retriever fills it in.

    Raises:
        ValueError: If prompts are no pairs, a number is out of range, or the
            vocabulary is larger than the encoder's.

    Examples:
        >>> losses = dict(
        ...     attributes=dict(
        ...         type='mmtpr.AttributePromptLoss',
        ...         prompts=[('person without hat', 'person with hat')],
        ...         vocab='bert-base-uncased'))
    """

    cross_heads = ('match', 'words')
    encoder_args = {'vocab_size': 'vocab_size'}

    tokens: Tensor
    mask: Tensor

    def __init__(
        self,
        prompts: Sequence[Sequence[str]],
        vocab: str = 'bert-base-uncased',
        weight: float = 0.8,
        num_matched: int = 5,
        label_smoothing: float = 0.0,
        max_length: int = 56,
        masking: dict | None = None,
        vocab_size: int | None = None,
    ) -> None:
        super().__init__(weight)
        wrong = [p for p in prompts if isinstance(p, str) or len(p) != 2]
        if wrong or not prompts:
            raise ValueError(
                'prompts must be pairs of sentences, for 0 and for 1; got '
                f'{wrong[0] if wrong else "none"!r}.'
            )
        if num_matched < 1 or not 0 <= label_smoothing < 1:
            raise ValueError(
                f'num_matched={num_matched} must be at least 1 and '
                f'label_smoothing={label_smoothing} in [0, 1).'
            )
        self.num_attributes = len(prompts)
        self.num_matched = min(num_matched, 2 * len(prompts))
        self.label_smoothing = label_smoothing
        tokenizer = build_bert_tokenizer(str(vocab), max_length)
        _check_vocabulary(str(vocab), tokenizer, vocab_size)
        self.masker = WordMasker(tokenizer, **(masking or {}))
        found = [tokenizer.encode(text) for pair in prompts for text in pair]
        tokens = torch.tensor([item.ids for item in found])
        mask = torch.tensor([item.attention_mask for item in found])
        longest = int(mask.sum(dim=1).max())
        self._numpy = tokens[:, :longest].numpy()
        for name, value in (('tokens', tokens), ('mask', mask)):
            self.register_buffer(name, value[:, :longest], persistent=False)

    def prepare(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Hide words of the sentences.

        Args:
            inputs (Mapping): Not used.

        Returns:
            dict[str, Tensor]: ``tokens`` with hidden words and ``labels``,
            true ids where hidden, else -100, both of shape (2A, L);
            ``index``, the rows of the H hidden words among the 2A * L, (H, ).
        """
        return self._hide_words()

    def _hide_words(self) -> dict[str, Tensor]:
        rng = np.random.default_rng(np.random.randint(2**31))
        pairs = [self.masker(tokens, rng) for tokens in self._numpy]
        tokens, labels = (
            torch.from_numpy(np.stack(part))
            for part in zip(*pairs, strict=True)
        )
        parts = (tokens, labels, hidden_rows(labels))
        moved = to_device(self.tokens.device, *parts)
        return dict(zip(('tokens', 'labels', 'index'), moved, strict=True))

    def loss(  # type: ignore[override]
        self, features: CrossModalFeatures, encoder: CrossEncoder
    ) -> Tensor:
        """See :meth:`CrossModalLoss.loss`.

        Raises:
            ValueError: If the batch has no attributes, or another number.
        """
        labels = self._check(features.attributes)
        feats, embeds = encoder.encode_text(
            self.tokens, self.mask, return_tokens=True
        )  # (2A, D), (2A, L, Wt)
        # Column 2a and 2a + 1: whether the sentence for 0 and for 1 fits.
        fits = torch.stack([1 - labels, labels], dim=2)  # (B, A, 2)
        fits = fits.masked_fill((labels == _UNKNOWN)[..., None], _UNKNOWN)
        fits = fits.flatten(1)  # (B, 2A)
        return (
            self.contrast(features, feats)
            + self.matching(features, encoder, embeds, fits)
            + self.hidden_words(features, encoder, fits)
        ) / 3

    def _check(self, labels: Tensor | None) -> Tensor:
        found = None if labels is None else labels.shape[1]
        if labels is None or found != self.num_attributes:
            raise ValueError(
                f'AttributePromptLoss has prompts for {self.num_attributes} '
                f'attributes, the samples of this batch have '
                f'{found or "none"}: they need a key "attributes" (the '
                '"label" of MALS) of that length.'
            )
        return labels

    def contrast(self, features: CrossModalFeatures, feats: Tensor) -> Tensor:
        """IAC: choose between the two sentences of each attribute.

        Args:
            features (CrossModalFeatures): The batch.
            feats (Tensor): Raw features of the sentences, of shape (2A, D).

        Returns:
            Tensor: Scalar.
        """
        with full_precision(feats.device):
            image = F.normalize(upcast(features.image_feats), dim=1)
            text = F.normalize(upcast(feats), dim=1)
            logits = features.scale * image @ text.t()  # (B, 2A)
            logits = logits.unflatten(1, (-1, 2))  # (B, A, 2)
        labels: Any = features.attributes
        return self._entropy(logits, labels)

    def matching(
        self,
        features: CrossModalFeatures,
        encoder: CrossEncoder,
        embeds: Tensor,
        fits: Tensor,
    ) -> Tensor:
        """IAM: judge whether some sentences fit each image.

        Args:
            features (CrossModalFeatures): The batch.
            encoder (CrossEncoder): The encoder that made them.
            embeds (Tensor): States of the sentences, of shape (2A, L, Wt).
            fits (Tensor): 1, 0 or -1, of shape (B, 2A).

        Returns:
            Tensor: Scalar.
        """
        # S sentences, the same for all images.
        drawn = torch.randperm(len(embeds), device=embeds.device)
        drawn = drawn[: self.num_matched]  # (S,)
        number = len(fits)
        texts = drawn.repeat(number)  # (B * S,)
        images = torch.arange(number, device=embeds.device)  # (B,)
        fused = encoder.fuse(
            embeds[texts],
            self.mask[texts],
            pick(
                features.keys_values,
                images.repeat_interleave(self.num_matched),
            ),
            only_first=True,
        )  # (B * S, 1, Wt)
        logits = encoder.match(fused).unflatten(0, (number, -1))  # (B, S, 2)
        return self._entropy(logits, fits[:, drawn])

    def _entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, A, 2), (B, A) -> mean over images, then over attributes."""
        with full_precision(logits.device):
            losses = F.cross_entropy(
                upcast(logits).flatten(0, 1),
                labels.flatten(),
                ignore_index=_UNKNOWN,
                label_smoothing=self.label_smoothing,
                reduction='none',
            ).view_as(labels)  # (B, A)
            # An attribute known of few images counts as much as any other.
            known = (labels != _UNKNOWN).sum(dim=0).clamp(min=1)  # (A,)
            return (losses.sum(dim=0) / known).mean()

    def hidden_words(
        self, features: CrossModalFeatures, encoder: CrossEncoder, fits: Tensor
    ) -> Tensor:
        """MAM: predict hidden words of sentences, each with an image it fits.

        Args:
            features (CrossModalFeatures): The batch.
            encoder (CrossEncoder): The encoder that made them.
            fits (Tensor): 1, 0 or -1, of shape (B, 2A).

        Returns:
            Tensor: Scalar.
        """
        prepared: Any = features.prepared or self._hide_words()
        tokens, labels = prepared['tokens'], prepared['labels']
        weights = (fits.t() == 1).float()  # (2A, B)
        none = ~weights.any(dim=1, keepdim=True)  # (2A, 1)
        # A row of zeros cannot be drawn from: such a sentence draws any image
        # and its words are left out of the loss.
        index = draw_one(weights.masked_fill(none, 1.0))
        return hidden_word_loss(
            encoder,
            tokens,
            labels.masked_fill(none, _IGNORE),
            self.mask,
            pick(features.keys_values, index),
            prepared['index'],
        )


def _check_vocabulary(name: str, tokenizer, limit: int | None) -> None:
    """Hidden words are replaced by any of the vocabulary: all must fit."""
    number = max(tokenizer.get_vocab().values()) + 1
    if limit is not None and number > limit:
        raise ValueError(
            f'The vocabulary "{name}" has {number} words, but the encoder '
            f'{limit}. Set vocab of mmtpr.AttributePromptLoss to the '
            'vocabulary that the encoder was trained with.'
        )
