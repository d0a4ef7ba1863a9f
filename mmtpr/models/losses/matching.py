"""Losses of a cross encoder: matching of pairs, hidden words."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtpr.models.encoders.contract import CrossEncoder, KeysValues
from mmtpr.registry import MODELS
from mmtpr.utils.precision import full_precision

from .base import (
    CrossModalFeatures,
    CrossModalLoss,
    check_positives,
    ids_of,
)
from .functional import draw_one, hidden_rows, hidden_word_entropy, upcast

_IGNORE = -100
#: Added to the probabilities that negatives are drawn with.
_FLOOR = 1e-5


@torch.no_grad()
def hard_negatives(
    image_feats: Tensor,
    text_feats: Tensor,
    logit_scale: Tensor | float,
    ids: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a wrong image for each caption and a wrong caption for each.

    Likelier the more alike they are: by the softmax of the scaled cosines
    plus 1e-5, never one with the same id. One call draws all.

    Args:
        image_feats (Tensor): Raw image features of shape (B, D).
        text_feats (Tensor): Raw text features of shape (B, D).
        logit_scale (Tensor | float): 1 / temperature.
        ids (Tensor, optional): Of shape (B, ). Defaults to None: only row i
            and column i belong together.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Images for the captions and captions
        for the images, long, and whether row i has any negative at all,
        each of shape (B, ).
    """
    number = len(image_feats)
    with full_precision(image_feats.device):
        image = F.normalize(upcast(image_feats), dim=1)
        text = F.normalize(upcast(text_feats), dim=1)
        logits = logit_scale * image @ text.t()  # (B, B)
        if ids is None:
            ids = torch.arange(number, device=logits.device)
        same = ids[:, None] == ids[None, :]  # (B, B)
        # Both directions in one table, so that one call draws for both.
        both = torch.stack([logits.t(), logits])  # (2, B, B)
        weights = both.softmax(dim=2)
        # A row with NaN draws any: an error here would come before the loss,
        # whose NaN a loss scaler or a hook can handle.
        weights = weights.nan_to_num(0.0) + _FLOOR
        weights = weights.masked_fill(same, 0.0)
        # A row without negatives draws anything, which then does not count.
        lonely = same.all(dim=1)  # (B,)
        weights = weights.masked_fill(lonely[:, None], 1.0)
        rows = weights.flatten(0, 1)  # (2 B, B)
        drawn = draw_one(rows).view(2, number)
    return drawn[0], drawn[1], ~lonely


def pick(keys_values: KeysValues, index: Tensor) -> KeysValues:
    """Keys and values of some images.

    Args:
        keys_values (KeysValues): Of M images.
        index (Tensor): Of shape (P, ), long.

    Returns:
        KeysValues: Of P images.
    """
    return [(keys[index], values[index]) for keys, values in keys_values]


def hidden_word_loss(
    encoder: CrossEncoder,
    tokens: Tensor,
    labels: Tensor,
    mask: Tensor,
    keys_values: KeysValues,
    index: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of hidden words, told from the others and an image.

    Only hidden words meet the vocabulary, which saves most of the memory.

    Args:
        encoder (CrossEncoder): The cross encoder.
        tokens (Tensor): Captions with hidden words, of shape (P, L).
        labels (Tensor): True ids where hidden, else -100, of shape (P, L).
        mask (Tensor): 1 where a token counts, of shape (P, L).
        keys_values (KeysValues): Of P images.
        index (Tensor, optional): Rows of the H hidden words among the P * L.
            Defaults to None: they are looked for.

    Returns:
        Tensor: Scalar, 0 if nothing is hidden.
    """
    _, states = encoder.encode_text(tokens, mask, return_tokens=True)
    fused = encoder.fuse(states, mask, keys_values)  # (P, L, Wt)
    index = hidden_rows(labels) if index is None else index  # (H,)
    hidden = fused.flatten(0, 1).index_select(0, index)  # (H, Wt)
    logits = encoder.predict_words(hidden)  # (H, vocab_size)
    return hidden_word_entropy(logits, labels.flatten()[index])


@MODELS.register_module()
class ITMLoss(CrossModalLoss):
    """Image-text matching with hard negatives.

    The cross encoder judges each pair, each caption with a wrong image and
    each image with a wrong caption, see :func:`hard_negatives`; the mean
    cross-entropy of the three. Negatives come from the batch of the process.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
        positives (str): What is no negative besides the pair itself: nothing
            (``'pair'``), captions of the same image (``'image_id'``) or of
            the same person (``'pid'``). Defaults to ``'pid'``.
        label_smoothing (float): Defaults to 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    takes_augmented = True
    cross_heads = ('match',)
    # Features only choose the negatives.
    trains_features = False
    trains_scale = False

    def __init__(
        self,
        weight: float = 1.0,
        positives: str = 'pid',
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f'label_smoothing must be in [0, 1), got {label_smoothing}.'
            )
        self.positives = check_positives(positives)
        self.label_smoothing = label_smoothing

    def loss(  # type: ignore[override]
        self, features: CrossModalFeatures, encoder: CrossEncoder
    ) -> Tensor:
        """See :meth:`CrossModalLoss.loss`."""
        hard_images, captions, counts = hard_negatives(
            features.image_feats,
            features.text_feats,
            features.scale,
            ids_of(features, self.positives, 'ITMLoss'),
        )
        # Right pairs, captions with wrong images, wrong captions: one pass.
        own = torch.arange(len(hard_images), device=hard_images.device)  # (B,)
        images = torch.cat([own, hard_images, own])  # (3 B,)
        texts = torch.cat([own, own, captions])  # (3 B,)
        fused = encoder.fuse(
            features.text_embeds[texts],
            features.text_mask[texts],
            pick(features.keys_values, images),
            only_first=True,
        )  # (3 B, 1, Wt)
        wrong = torch.where(counts, 0, _IGNORE)  # (B,)
        labels = torch.cat([torch.ones_like(own), wrong, wrong])  # (3 B,)
        logits = encoder.match(fused)  # (3 B, 2)
        with full_precision(logits.device):
            return F.cross_entropy(
                upcast(logits),
                labels,
                ignore_index=_IGNORE,
                label_smoothing=self.label_smoothing,
            )


@MODELS.register_module()
class CrossModalMLMLoss(CrossModalLoss):
    """Masked language modelling by a cross encoder and its own word head.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
    """

    cross_heads = ('words',)
    trains_features = False
    trains_scale = False

    def loss(  # type: ignore[override]
        self, features: CrossModalFeatures, encoder: CrossEncoder
    ) -> Tensor:
        """See :meth:`CrossModalLoss.loss`.

        Raises:
            ValueError: If the batch has no masked captions.
        """
        if features.mlm_labels is None:
            raise ValueError(
                'CrossModalMLMLoss needs captions with hidden words: add '
                "dict(type='mmtpr.MaskBertTokens') after "
                "'mmtpr.TokenizeBert' in the training pipeline."
            )
        tokens: Any = features.mlm_tokens
        return hidden_word_loss(
            encoder,
            tokens,
            features.mlm_labels,
            features.text_mask,
            features.keys_values,
            features.mlm_index,
        )
