"""Retrievers as towers: functions of tensors, which can be exported."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.utils.errors import LaunchError

#: What each tower reads, by the names of the data preprocessor's output.
INPUTS = dict(image=('image',), text=('tokens',), query=('image', 'tokens'))


class Tower(nn.Module):
    """A side of a retriever: tensors in, tensors out.

    Args:
        retriever (nn.Module): The retriever.

    Attributes:
        outputs (tuple[str, ...]): Names of what :meth:`forward` returns.
    """

    outputs: tuple[str, ...] = ('features',)

    def __init__(self, retriever: Any) -> None:
        super().__init__()
        self.retriever: Any = retriever


class ImageTower(Tower):
    """Images to features of the gallery."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Embed images.

        Args:
            image (Tensor): Normalised images of shape (M, 3, H, W).

        Returns:
            tuple[Tensor]: Of shape (M, T, D), L2-normalised.
        """
        return (self.retriever.extract_image_feat(image),)


class TextTower(Tower):
    """Captions to features of queries."""

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Embed captions.

        Args:
            tokens (Tensor): Token ids of shape (K, L), long.

        Returns:
            tuple[Tensor]: Of shape (K, D), L2-normalised.
        """
        return (self.retriever.extract_text_feat(tokens),)


class QueryTower(Tower):
    """Reference images with sentences to features of queries."""

    def __init__(self, retriever: Any) -> None:
        super().__init__(retriever)
        self.takes_length = getattr(retriever.query, 'takes_length', False)
        if self.takes_length:  # and tells of each caption whether it was cut
            self.outputs = ('features', 'cut')

    def forward(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Embed queries.

        Args:
            image (Tensor): Normalised images of shape (K, 3, H, W).
            tokens (Tensor): Token ids of shape (K, L), long.

        Returns:
            tuple[Tensor, ...]: Of shape (K, D), L2-normalised; where the
            query maker tells it, whether captions were cut, (K, ) bool.
        """
        # All positions, so that nobody looks how many are in use.
        whole = (tokens.shape[1],) if self.takes_length else ()
        parts = self.retriever.encoder, image, tokens, *whole
        query = self.retriever.query(*parts)
        feats = F.normalize(query.feats.float(), dim=-1)
        return (feats, query.cut) if self.takes_length else (feats,)


def find_towers(model: Any) -> dict[str, Tower]:
    """Find the towers of a retriever.

    Args:
        model (nn.Module): A retriever of mmtpr.

    Returns:
        dict[str, Tower]: ``image`` and ``text``, of a composed one ``image``
        and ``query``.

    Raises:
        LaunchError: If it is another kind of model.
    """
    if not hasattr(model, 'extract_image_feat'):
        raise LaunchError(
            f'{type(model).__name__} is no retriever: it embeds no images '
            'and captions, so it has no towers to export.'
        )
    if hasattr(model, 'extract_query_feat'):
        return dict(image=ImageTower(model), query=QueryTower(model))
    return dict(image=ImageTower(model), text=TextTower(model))
