"""Base classes of losses, and the features they are computed from."""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from mmtpr.models.encoders.contract import CrossEncoder, KeysValues


@dataclass
class RetrievalFeatures:
    """Features of a batch of B image-caption pairs.

    Attributes:
        image_feats (Tensor): Raw image features of shape (B, D).
        text_feats (Tensor): Raw text features of shape (B, D).
        pids (Tensor): Identities of shape (B, ), long.
        scale (Tensor | float): 1 / temperature.
        image_ids (Tensor, optional): Images of shape (B, ), long.
        label_hat (Tensor, optional): 1 where a pair counts, 0 where losses
            of single pairs leave it out, of shape (B, ), long; None where
            all count.
        pid_range (tuple[int, int], optional): Smallest and largest identity,
            known without asking the device; None where the retriever has
            let the losses check it, see :meth:`RetrievalLoss.prepare`.
        image_tokens (Tensor, optional): Of shape (B, N, Wi).
        mlm_text_tokens (Tensor, optional): Token features of the captions
            with masked words, of shape (B, L, Wt).
        mlm_labels (Tensor, optional): True ids where masked, else -100, of
            shape (B, L).
        mlm_index (Tensor, optional): Rows of the H masked words among the
            B * L, known without asking the device, of shape (H, ).
        tokens (Tensor, optional): Token ids of the captions, of shape (B, L).
        swapped_feats (Tensor, optional): Raw features of the captions with
            one word changed, of shape (B, D).
        swapped (Tensor, optional): Whether a word was changed, of shape
            (B, ), bool.
        prepared (Mapping[str, Tensor]): What :meth:`RetrievalLoss.prepare` of
            the loss that gets these features has made.
    """

    image_feats: Tensor
    text_feats: Tensor
    pids: Tensor
    scale: Tensor | float = 1.0
    image_ids: Tensor | None = None
    label_hat: Tensor | None = None
    pid_range: tuple[int, int] | None = None
    image_tokens: Tensor | None = None
    mlm_text_tokens: Tensor | None = None
    mlm_labels: Tensor | None = None
    mlm_index: Tensor | None = None
    tokens: Tensor | None = None
    swapped_feats: Tensor | None = None
    swapped: Tensor | None = None
    prepared: Mapping[str, Any] = field(default_factory=dict)

    def of(self, name: str) -> 'RetrievalFeatures':
        """Give the features that one loss of a retriever gets.

        Args:
            name (str): Its name; ``prepared`` of the retriever's features
                holds what each loss has made, by its name.

        Returns:
            RetrievalFeatures: With ``prepared`` of this loss.
        """
        return replace(self, prepared=self.prepared.get(name, {}))


@dataclass
class CrossModalFeatures(RetrievalFeatures):
    """Features of B pairs, and what a cross encoder reads of them.

    Attributes:
        text_embeds (Tensor): States of the captions, of shape (B, L, Wt).
        text_mask (Tensor): 1 where a token counts, of shape (B, L).
        keys_values (KeysValues): What cross layers read of the images,
            computed once for all losses.
        mlm_tokens (Tensor, optional): Captions with hidden words, (B, L).
        attributes (Tensor, optional): 0, 1 or -1 (unknown), of shape (B, A).
    """

    # Always given, but a field after others with defaults must have one.
    text_embeds: Tensor = None  # type: ignore[assignment]
    text_mask: Tensor = None  # type: ignore[assignment]
    keys_values: KeysValues = None  # type: ignore[assignment]
    mlm_tokens: Tensor | None = None
    attributes: Tensor | None = None


def ids_of(features: RetrievalFeatures, kind: str, who: str) -> Tensor | None:
    """Ids that tell what belongs together.

    Args:
        features (RetrievalFeatures): The batch.
        kind (str): ``'pair'``, ``'image_id'`` or ``'pid'``.
        who (str): Name of the loss, for the message.

    Returns:
        Tensor | None: Of shape (B, ); None for ``'pair'``.

    Raises:
        ValueError: If the batch has no such ids.
    """
    if kind == 'pid':
        return features.pids
    if kind == 'image_id' and features.image_ids is None:
        raise ValueError(
            f"{who}(positives='image_id') needs an image_id in every "
            'training sample; this batch has samples without.'
        )
    return features.image_ids if kind == 'image_id' else None


def check_positives(kind: str) -> str:
    """Check what belongs together.

    Args:
        kind (str): ``'pair'``, ``'image_id'`` or ``'pid'``.

    Returns:
        str: The same.

    Raises:
        ValueError: If it is something else.
    """
    if kind not in ('pair', 'image_id', 'pid'):
        raise ValueError(
            f"positives must be 'pair', 'image_id' or 'pid', got {kind!r}."
        )
    return kind


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
    #: Whether the loss needs captions with one word changed.
    needs_swapped: ClassVar[bool] = False
    #: Whether the loss is also taken of an augmented caption, if there is one.
    takes_augmented: ClassVar[bool] = False
    #: Whether gradients reach the features of images and captions.
    trains_features: ClassVar[bool] = True
    #: Whether gradients reach ``scale``.
    trains_scale: ClassVar[bool] = True
    #: Name of the neck whose embeddings the loss is taken of, set by the
    #: retriever; None for those of the encoder.
    embedding: str | None = None
    #: Arguments a retriever fills from its encoder: argument -> attribute.
    encoder_args: ClassVar[dict[str, str]] = {}

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def prepare(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Do what the loss of a batch needs of the host.

        Checks of values and numbers that the host draws belong here: in
        :meth:`loss` they would make an accelerator wait and cut the graph of
        ``torch.compile``.

        Args:
            inputs (Mapping): What the data preprocessor gives, with ``pid``
                and ``pid_range``.

        Returns:
            dict[str, Tensor]: What the loss gets as ``features.prepared``.
        """
        return {}

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


class CrossModalLoss(RetrievalLoss):
    """A weighted loss on :class:`CrossModalFeatures` and a cross encoder.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
    """

    #: Heads of the encoder that the loss trains: 'match', 'words'.
    cross_heads: ClassVar[tuple[str, ...]] = ()

    def forward(  # type: ignore[override]
        self,
        features: CrossModalFeatures,
        encoder: CrossEncoder | None = None,
    ) -> Tensor:
        """Compute the weighted loss.

        Args:
            features (CrossModalFeatures): The batch.
            encoder (CrossEncoder): The encoder that made them.

        Returns:
            Tensor: Scalar.

        Raises:
            TypeError: If there is no cross encoder.
        """
        if encoder is None or not isinstance(features, CrossModalFeatures):
            raise TypeError(
                f'{type(self).__name__} needs a cross encoder: use it in '
                'mmtpr.CrossModalPersonRetriever.'
            )
        return self.weight * self.loss(features, encoder)

    @abstractmethod
    def loss(  # type: ignore[override]
        self, features: CrossModalFeatures, encoder: CrossEncoder
    ) -> Tensor:
        """Compute the loss without its weight.

        Args:
            features (CrossModalFeatures): The batch.
            encoder (CrossEncoder): The encoder that made them.

        Returns:
            Tensor: Scalar.
        """
