"""Words of a caption, told from either embedding by one classifier."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.registry import MODELS
from mmtpr.utils.numbers import check_whole
from mmtpr.utils.precision import full_precision

from .base import RetrievalFeatures, RetrievalLoss
from .functional import upcast


def caption_words_loss(
    image_logits: Tensor, text_logits: Tensor, tokens: Tensor, padding: int = 0
) -> Tensor:
    """Ask which words a caption has, of its image and of the caption itself.

    For each side the binary cross entropy of every word of the vocabulary,
    summed over the words, averaged over the pairs; then the mean of the two
    sides.

    Args:
        image_logits (Tensor): Of the image for each word, (B, V).
        text_logits (Tensor): Of the caption for each word, (B, V).
        tokens (Tensor): Token ids of the captions, (B, L), long.
        padding (int): Id that is no word. Defaults to 0.

    Returns:
        Tensor: Scalar, float32.
    """
    present = image_logits.new_zeros(image_logits.shape)  # (B, V)
    present.scatter_(1, tokens, 1.0)
    present[:, padding] = 0
    entropy = F.binary_cross_entropy_with_logits
    of_image = entropy(image_logits, present, reduction='sum')
    of_text = entropy(text_logits, present, reduction='sum')
    return (of_image + of_text) / (2 * max(1, len(tokens)))


@MODELS.register_module()
class CaptionWordsLoss(RetrievalLoss):
    """Tell the words of a caption from its image and from itself.

    One linear layer reads the words off either embedding, so that a word is
    the same direction in both. A contrastive loss learns what tells the images
    of a batch apart, colours for instance, and hardly looks at the rest once
    that suffices; this asks for every word. For scorers of relevance, beside
    :class:`SwappedWordsLoss`; the layer is not used after training.

    Args:
        embed_dim (int): Width D of the embeddings.
        vocab_size (int): Number of token ids V. A retriever fills these two
            in from its encoder.
        padding (int): Token id that is no word. Defaults to 0.
        weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If ``padding`` is no token id.
    """

    encoder_args = {'embed_dim': 'embed_dim', 'vocab_size': 'vocab_size'}
    trains_scale = False

    def __init__(
        self,
        embed_dim: int,
        vocab_size: int,
        padding: int = 0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        check_whole('padding', padding, 0, vocab_size - 1)
        self.padding = padding
        self.classifier = nn.Linear(embed_dim, vocab_size)
        nn.init.normal_(self.classifier.weight, std=0.02)
        # Of so many words a caption has a few: without this the first steps
        # would only learn that.
        nn.init.constant_(self.classifier.bias, -math.log(vocab_size))

    def words_of(self, feats: Tensor) -> Tensor:
        """Read words off embeddings, whatever their length.

        Args:
            feats (Tensor): Raw features, (B, D).

        Returns:
            Tensor: Logits, (B, V).
        """
        unit = F.normalize(upcast(feats), dim=-1)  # (B, D)
        return self.classifier(unit * math.sqrt(unit.shape[-1]))

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`RetrievalLoss.loss`.

        Raises:
            ValueError: If the batch comes without its token ids.
        """
        if features.tokens is None:
            raise ValueError(
                'CaptionWordsLoss needs the token ids of the captions, which '
                'this retriever does not hand on: use '
                'mmtpr.TextPersonRetriever.'
            )
        with full_precision(features.image_feats.device):
            return caption_words_loss(
                self.words_of(features.image_feats),
                self.words_of(features.text_feats),
                features.tokens,
                self.padding,
            )
