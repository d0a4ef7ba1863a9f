"""Text-based person retrieval with a cross encoder's second look."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.models.encoders.contract import (
    CrossEncoder,
    KeysValues,
    check_encoder,
)
from mmtpr.models.losses import (
    CrossModalFeatures,
    CrossModalLoss,
    RetrievalFeatures,
    RetrievalLoss,
)
from mmtpr.models.losses.matching import pick
from mmtpr.models.temperature import CROSS_BOUNDS, bounded
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.predictions import put_by_kind
from mmtpr.structures.query_parts import put_negatives

from .accumulation import View
from .cross_modal_parts import (
    score_table,
    uses_of,
)
from .sample_fields import batch_attributes
from .text_person_retriever import TextPersonRetriever


@MODELS.register_module()
class CrossModalPersonRetriever(TextPersonRetriever):
    """Retrieval by cosine, with matching scores to re-rank by.

    The model of APTM and Filtering-WoRA. Images are encoded once a step,
    and so are the keys and values that cross layers read of them; all losses
    share both. Where samples have ``eda_tokens``, losses that judge whole
    captions are taken of these too, logged as ``loss_<name>_eda``.

    Args:
        encoder (dict | nn.Module): A cross encoder such as
            ``mmtpr.SwinBertEncoder``, or an adapter model around one.
        losses (dict[str, dict], optional): Name -> config of a
            :class:`RetrievalLoss`; logged as ``loss_<name>``. Parts of the
            encoder that none of them uses are frozen.
        gather (bool): Whether losses over all pairs see the features of all
            processes. Defaults to False.
        accumulate (int): Parts a training batch is encoded in, see
            :class:`TextPersonRetriever`. ITM draws its negatives within a
            part. Defaults to 1.
        augmented_weight (float): Factor of the losses of augmented captions.
            Defaults to 0.8, as published.
        keep_embeds (bool): Whether ``predict`` also puts what a cross encoder
            reads on samples: ``text_embeds`` (L, Wt) and ``text_mask`` (L, )
            on those with a caption to search by, ``image_embeds`` (N, Wi) on
            those with an image. Defaults to False.
        data_preprocessor (dict | nn.Module, optional): The type defaults to
            ``mmtpr.RetrievalDataPreprocessor``.
        init_cfg (dict, optional): Initialization config.

    Examples:
        >>> model = dict(
        ...     type='mmtpr.CrossModalPersonRetriever',
        ...     encoder=dict(type='mmtpr.SwinBertEncoder'),
        ...     losses=dict(
        ...         itc=dict(type='mmtpr.ITCLoss', positives='pid'),
        ...         itm=dict(type='mmtpr.ITMLoss'),
        ...         mlm=dict(type='mmtpr.CrossModalMLMLoss')))
    """

    def __init__(
        self,
        encoder: dict | nn.Module,
        losses: dict[str, dict] | None = None,
        gather: bool = False,
        augmented_weight: float = 0.8,
        keep_embeds: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
        accumulate: int = 1,
    ) -> None:
        super().__init__(
            encoder,
            losses,
            temperature=None,
            gather=gather,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
            accumulate=accumulate,
        )
        self.augmented_weight = augmented_weight
        self.keep_embeds = keep_embeds
        self.data_preprocessor.vocab_size = self.vocab_size
        if self.losses:
            self.encoder.freeze_unused(uses_of(self.losses.values()))

    def _check_encoder(self) -> None:
        cure = 'A dual encoder is one for mmtpr.TextPersonRetriever.'
        check_encoder(self.encoder, CrossEncoder, cure)

    def _set_temperature(self, temperature: float | None, learn: bool) -> None:
        """Leave the temperature to the encoder, which has one."""

    @property
    def pad_token_id(self) -> int:
        """Token id of padding."""
        return self.encoder.pad_token_id

    @property
    def vocab_size(self) -> int | None:
        """Number of words the encoder knows, None if it does not say."""
        return getattr(self.encoder, 'vocab_size', None)

    def scale(self) -> Tensor:
        """Factor of the cosines.

        Returns:
            Tensor: 1 / temperature, the latter in 0.001..0.5.
        """
        temperature = self.encoder.temperature
        return 1 / bounded(temperature, CROSS_BOUNDS, self.training)

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            images (Tensor): Normalised images of shape (M, 3, H, W).

        Returns:
            tuple[Tensor, Tensor]: Features of shape (M, D), L2-normalised,
            float32; tokens of shape (M, N, Wi).
        """
        features, embeds = self.encoder.encode_image(images, True)
        return F.normalize(features.float(), dim=-1), embeds

    def encode_text(
        self, tokens: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode captions.

        Args:
            tokens (Tensor): Token ids of shape (K, L).
            mask (Tensor, optional): 1 where a token counts, (K, L). Defaults
                to None: everything but padding.

        Returns:
            tuple[Tensor, Tensor]: Features of shape (K, D), L2-normalised,
            float32; states of shape (K, L, Wt).
        """
        features, embeds = self.encoder.encode_text(tokens, mask, True)
        return F.normalize(features.float(), dim=-1), embeds

    def image_keys_values(self, image_embeds: Tensor) -> KeysValues:
        """Compute what cross layers read of images, once for all pairs.

        Args:
            image_embeds (Tensor): Tokens of shape (M, N, Wi).

        Returns:
            KeysValues: Keys and values for each cross layer,
            of M rows.
        """
        return self.encoder.image_keys_values(image_embeds)

    def prepare_text(self, text_embeds: Tensor, text_mask: Tensor) -> Tensor:
        """Run what cross layers do with captions before they meet images.

        Args:
            text_embeds (Tensor): States of captions, of shape (K, L, Wt).
            text_mask (Tensor): 1 where a token counts, of shape (K, L).

        Returns:
            Tensor: For :meth:`itm_scores` with ``prepared``, (K, L, Wt).
        """
        return self.encoder.prepare_text(text_embeds, text_mask)

    def itm_scores(
        self,
        text_embeds: Tensor,
        text_mask: Tensor,
        image_embeds: Tensor | None = None,
        keys_values: KeysValues | None = None,
        pairwise: bool = True,
        chunk_size: int = 256,
        prepared: bool = False,
    ) -> Tensor:
        """Score how well captions and images match.

        Args:
            text_embeds (Tensor): States of captions, of shape (K, L, Wt).
            text_mask (Tensor): 1 where a token counts, of shape (K, L).
            image_embeds (Tensor, optional): Tokens of shape (M, N, Wi).
            keys_values (KeysValues, optional): In their
                place, see :meth:`image_keys_values`.
            pairwise (bool): Whether the i-th caption meets the i-th image,
                K = M, or every caption every image. Defaults to True.
            chunk_size (int): Pairs at a time where every caption meets every
                image. Defaults to 256.
            prepared (bool): Whether the states come from
                :meth:`prepare_text`. Defaults to False.

        Returns:
            Tensor: The logit of "match", float32, of shape (K, ), or (K, M)
            with ``pairwise=False``.
        """
        if keys_values is None:
            # One of the two is given.
            keys_values = self.image_keys_values(
                image_embeds  # type: ignore[arg-type]
            )
        if pairwise:
            fused = self.encoder.fuse(
                *(text_embeds, text_mask, keys_values),
                only_first=True,
                prepared=prepared,
            )
            return self.encoder.match(fused)[:, 1].float()
        shape = (len(text_embeds), len(keys_values[0][0]))
        return score_table(
            lambda texts, images: self.itm_scores(
                text_embeds[texts],
                text_mask[texts],
                keys_values=pick(keys_values, images),
                prepared=prepared,
            ),
            *(shape, chunk_size, text_embeds.device),
        )

    def _apply_loss(
        self, loss: RetrievalLoss, features: RetrievalFeatures
    ) -> Tensor:
        if isinstance(loss, CrossModalLoss):
            return loss(features, self.encoder)
        return loss(features)

    def loss_inputs(
        self,
        inputs: dict[str, Any],
        data_samples: Sequence[RetrievalDataSample],
    ) -> dict[str, Any]:
        """See :meth:`TextPersonRetriever.loss_inputs`.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample]): B samples.

        Returns:
            dict: With ``attributes`` (B, A) where all samples have them.
        """
        ready = super().loss_inputs(inputs, data_samples)
        device = inputs['image'].device
        attributes = batch_attributes(inputs, data_samples, device)
        return dict(ready, attributes=attributes)

    def _pair_facts(self, inputs) -> CrossModalFeatures:
        facts = super()._pair_facts(inputs)
        own = {f.name: getattr(facts, f.name) for f in fields(facts)}
        return CrossModalFeatures(
            **own,
            mlm_tokens=inputs.get('mlm_tokens'),
            attributes=inputs.get('attributes'),
        )

    def _views(self, inputs: Mapping[str, Any], facts: Any) -> list[View]:
        """The pairs, and those with augmented captions where there are."""
        image, image_embeds = self.encoder.encode_image(inputs['image'], True)
        reads = any(
            isinstance(x, CrossModalLoss) for x in self.losses.values()
        )
        features = replace(
            facts,
            image_feats=image,
            keys_values=self.image_keys_values(image_embeds) if reads else [],
            **self._text_features(inputs['tokens']),
        )
        views = [View(features, self.losses)]
        if 'eda_tokens' in inputs:
            again = {n: x for n, x in self.losses.items() if x.takes_augmented}
            text = self._text_features(inputs['eda_tokens'])
            augmented = replace(features, **text)
            views.append(View(augmented, again, '_eda', self.augmented_weight))
        return views

    def _text_features(self, tokens: Tensor) -> dict[str, Tensor]:
        mask = self.encoder.text_mask(tokens)
        text, states = self.encoder.encode_text(tokens, mask, True)
        return dict(text_feats=text, text_embeds=states, text_mask=mask)

    def predict(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[RetrievalDataSample],
    ) -> list[RetrievalDataSample]:
        """Put an embedding on every sample.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample]): Samples.

        Returns:
            list[RetrievalDataSample]: The samples; see ``keep_embeds``.

        Raises:
            ValueError: If a sample has nothing to embed.
        """
        if not self.keep_embeds:
            return super().predict(inputs, data_samples)
        encoded = {}
        if 'image' in inputs:
            features, states = self.encode_image(inputs['image'])
            encoded['image'] = dict(
                features=features.unsqueeze(1), image_embeds=states
            )
        if 'tokens' in inputs:
            mask = self.encoder.text_mask(inputs['tokens'])
            features, states = self.encode_text(inputs['tokens'], mask)
            encoded['text'] = dict(
                features=features, text_embeds=states, text_mask=mask
            )
        put_by_kind(data_samples, inputs, encoded)
        put_negatives(data_samples, inputs, self.extract_text_feat)
        return list(data_samples)
