"""What losses of retrievers get, and their common form."""

from abc import ABCMeta, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass
class RetrievalFeatures:
    """Features of a batch of B image-caption pairs.

    Attributes:
        image_feats (Tensor): Raw image features of shape (B, D).
        text_feats (Tensor): Raw text features of shape (B, D).
        pids (Tensor): Identities of shape (B, ), long.
        logit_scale (Tensor | float): 1 / temperature.
        image_ids (Tensor, optional): Pictures of shape (B, ), long.
        pid_range (tuple[int, int], optional): Smallest and largest identity,
            known without asking the device.
        image_tokens (Tensor, optional): Of shape (B, N, Wi).
        mlm_text_tokens (Tensor, optional): Token features of the captions
            with masked words, of shape (B, L, Wt).
        mlm_labels (Tensor, optional): True ids where masked, else -100, of
            shape (B, L).
    """

    image_feats: Tensor
    text_feats: Tensor
    pids: Tensor
    logit_scale: Tensor | float = 1.0
    image_ids: Tensor | None = None
    pid_range: tuple[int, int] | None = None
    image_tokens: Tensor | None = None
    mlm_text_tokens: Tensor | None = None
    mlm_labels: Tensor | None = None


class RetrievalLoss(nn.Module, metaclass=ABCMeta):
    """A weighted loss on :class:`RetrievalFeatures`.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
    """

    #: Whether the loss compares all pairs and so profits from the features
    #: of other processes.
    across_processes: ClassVar[bool] = False
    #: Whether the loss needs the tokens of images and masked captions.
    needs_tokens: ClassVar[bool] = False
    #: Arguments a retriever fills from its encoder: argument -> attribute.
    encoder_args: ClassVar[dict[str, str]] = {}

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, features: RetrievalFeatures) -> Tensor:
        """Compute the weighted loss.

        Args:
            features (RetrievalFeatures): The batch.

        Returns:
            Tensor: Scalar.
        """
        return self.weight * self.loss(features)

    @abstractmethod
    def loss(self, features: RetrievalFeatures) -> Tensor:
        """Compute the loss without its weight.

        Args:
            features (RetrievalFeatures): The batch.

        Returns:
            Tensor: Scalar.
        """

    def extra_repr(self) -> str:
        """Show the weight when printed."""
        return f'weight={self.weight}'
