"""Identity classification."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmtpr.registry import MODELS
from mmtpr.utils.precision import full_precision

from .base import RetrievalFeatures, RetrievalLoss
from .functional import check_pid_range, id_loss, upcast


@MODELS.register_module()
class IDLoss(RetrievalLoss):
    """One linear classifier of identities for images and captions.

    Args:
        num_classes (int): Identities C of the training split, which must be
            numbered 0..C-1 (``relabel_pids=True`` in the dataset).
        embed_dim (int): Width of the features. A retriever fills it in from
            its encoder.
        weight (float): Factor of the loss. Defaults to 1.0.
    """

    encoder_args = {'embed_dim': 'embed_dim'}
    trains_scale = False

    def __init__(
        self, num_classes: int, embed_dim: int, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        self.classifier = nn.Linear(embed_dim, num_classes)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def prepare(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Check the identities of a batch.

        Args:
            inputs (Mapping): With ``pid_range``.

        Returns:
            dict[str, Tensor]: Empty.

        Raises:
            ValueError: If an identity is outside 0..C-1.
        """
        low, high = inputs['pid_range']
        check_pid_range(low, high, self.classifier.out_features)
        return {}

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`RetrievalLoss.loss`.

        Raises:
            ValueError: If an identity is outside 0..C-1.
        """
        if features.pid_range is not None:
            low, high = features.pid_range
            check_pid_range(low, high, self.classifier.out_features)
        with full_precision(features.image_feats.device):
            return id_loss(
                self.classifier(upcast(features.image_feats)),
                self.classifier(upcast(features.text_feats)),
                features.pids,
            )
