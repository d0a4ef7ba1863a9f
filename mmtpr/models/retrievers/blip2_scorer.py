"""BLIP-2 as a judge of pairs."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample

from .text_person_retriever import TextPersonRetriever


@MODELS.register_module()
class BLIP2Scorer(TextPersonRetriever):
    """BLIP-2 stage 1 as it is, for relevance scores and retrieval.

    An image is 32 tokens, a caption its [CLS]; relevance is the largest dot
    product (arXiv 2404.10292). It serves ``score_relevance.py``, and a test
    run with ``PersonRetrievalMetric(topk_tokens=1)`` ranks by the same
    number. It has no losses.

    Args:
        encoder (dict | nn.Module): A :class:`BLIP2Encoder`, or an adapter
            model around one.
        data_preprocessor (dict | nn.Module, optional): The type defaults to
            ``mmtpr.RetrievalDataPreprocessor``, whose CLIP mean and standard
            deviation are BLIP-2's too.
        init_cfg (dict, optional): Initialization config.

    Examples:
        >>> model = dict(
        ...     type='mmtpr.BLIP2Scorer',
        ...     encoder=dict(
        ...         type='mmtpr.BLIP2Encoder',
        ...         pretrained='Salesforce/blip2-itm-vit-g'))
    """

    def __init__(
        self,
        encoder: dict | nn.Module,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            encoder, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )

    def extract_image_feat(self, images: Tensor) -> Tensor:
        """Embed images.

        Args:
            images (Tensor): Normalised images of shape (M, 3, H, W).

        Returns:
            Tensor: Of shape (M, T, D), L2-normalised, float32.
        """
        return self.encoder.encode_target(images)

    def extract_text_feat(self, tokens: Tensor) -> Tensor:
        """Embed captions.

        Args:
            tokens (Tensor): Token ids of shape (K, L), 0 is padding.

        Returns:
            Tensor: Of shape (K, D), L2-normalised, float32.
        """
        return self.encoder.encode_text_only(tokens)

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[RetrievalDataSample],
    ) -> dict[str, Tensor]:
        """Refuse to train.

        Args:
            inputs (dict): Not used.
            data_samples (Sequence[RetrievalDataSample]): Not used.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            'mmtpr.BLIP2Scorer scores and does not train. FAFA trains BLIP-2 '
            'as the encoder of mmtpr.ComposedPersonRetriever.'
        )
