"""Losses over all pairs of a batch."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmtpr.registry import MODELS

from .base import (
    RetrievalFeatures,
    RetrievalLoss,
    check_positives,
    ids_of,
)
from .functional import cmpm_loss, itc_loss, sdm_loss
from .pairwise import PairwiseLoss


@MODELS.register_module()
class SDMLoss(RetrievalLoss):
    """Similarity distribution matching, see :func:`sdm_loss`.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
    """

    across_processes = True
    takes_augmented = True

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`RetrievalLoss.loss`."""
        return sdm_loss(
            features.image_feats,
            features.text_feats,
            features.pids,
            features.scale,
        )


@MODELS.register_module()
class ITCLoss(PairwiseLoss):
    """Image-text contrast, see :func:`itc_loss`.

    Pairs whose ``label_hat`` is 0 are left out of the mean; others are told
    from them all the same.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
        positives (str): What belongs together besides the pair itself:
            nothing (``'pair'``), all captions of the same image
            (``'image_id'``) or of the same person (``'pid'``). Defaults to
            ``'pair'``.
    """

    takes_augmented = True

    def __init__(self, weight: float = 1.0, positives: str = 'pair') -> None:
        super().__init__(weight, reduction='mean')
        self.positives = check_positives(positives)

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`RetrievalLoss.loss`."""
        if features.label_hat is None:  # without a table of losses
            return self._itc(features, 'mean')
        return super().loss(features)

    def pair_losses(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`PairwiseLoss.pair_losses`."""
        return self._itc(features, 'none')

    def prepare(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Do nothing: pairs of one identity have negatives as well."""
        return {}

    def _itc(self, features: RetrievalFeatures, reduction: str) -> Tensor:
        return itc_loss(
            features.image_feats,
            features.text_feats,
            features.scale,
            ids_of(features, self.positives, 'ITCLoss'),
            reduction=reduction,
        )


@MODELS.register_module()
class CMPMLoss(RetrievalLoss):
    """Cross-modal projection matching, see :func:`cmpm_loss`.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
    """

    across_processes = True
    takes_augmented = True
    trains_scale = False

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`RetrievalLoss.loss`."""
        return cmpm_loss(
            features.image_feats, features.text_feats, features.pids
        )
