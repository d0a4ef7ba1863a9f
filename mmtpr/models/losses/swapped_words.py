"""An image's caption above the same caption with one word changed."""

import torch.nn.functional as F
from torch import Tensor

from mmtpr.registry import MODELS

from .base import RetrievalFeatures, RetrievalLoss


def swapped_words_loss(
    image_feats: Tensor,
    text_feats: Tensor,
    swapped_feats: Tensor,
    swapped: Tensor,
    scale: Tensor | float = 1.0,
) -> Tensor:
    """Ask for a higher cosine of the caption than of the changed one.

    The cross entropy of choosing the caption out of the two,
    ``log(1 + exp(scale * (cos(image, changed) - cos(image, caption))))``,
    averaged over the captions that were changed. Captions that differ from
    the own one in a word are what a batch does not have by chance.

    Args:
        image_feats (Tensor): Raw image features, (B, D).
        text_feats (Tensor): Raw features of the captions, (B, D).
        swapped_feats (Tensor): Raw features of the changed captions, (B, D).
        swapped (Tensor): Whether a caption was changed, (B, ), bool.
        scale (Tensor | float): 1 / temperature. Defaults to 1.0.

    Returns:
        Tensor: Scalar, float32; 0 if no caption was changed.
    """
    image = F.normalize(image_feats.float(), dim=-1)  # (B, D)
    text = F.normalize(text_feats.float(), dim=-1)
    other = F.normalize(swapped_feats.float(), dim=-1)
    worse = scale * (image * (other - text)).sum(-1)  # (B, )
    counts = swapped.to(worse.dtype)
    return (F.softplus(worse) * counts).sum() / counts.sum().clamp(min=1)


@MODELS.register_module()
class SwappedWordsLoss(RetrievalLoss):
    """Tell captions from ones with a word changed, see the function.

    The changed captions are made in each batch of what its captions have in
    the same place (:func:`mmtpr.text.word_swaps.swap_tokens`), and are encoded
    beside them: a batch takes the time of its images and twice its captions.
    For scorers of relevance, which have to see a single wrong word.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
    """

    needs_swapped = True

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`RetrievalLoss.loss`."""
        if features.swapped_feats is None or features.swapped is None:
            raise ValueError(
                'SwappedWordsLoss needs changed captions, which this '
                'retriever does not make: use mmtpr.TextPersonRetriever.'
            )
        return swapped_words_loss(
            features.image_feats,
            features.text_feats,
            features.swapped_feats,
            features.swapped,
            features.scale,
        )
