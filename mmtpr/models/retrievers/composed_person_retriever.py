"""Composed person retrieval: a reference image and a sentence."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.models.freezing import rest_frozen
from mmtpr.models.losses import RetrievalFeatures, RetrievalLoss
from mmtpr.models.necks import fuse_features
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.composed_rows import (
    gallery_rows,
    put_composed_negatives,
    query_rows,
    rows_of_queries,
)
from mmtpr.structures.predictions import put_rows
from mmtpr.structures.query_parts import mean_of_parts

from .composed_batch import (
    build_head,
    check_parts,
    check_present,
    check_several_ids,
    check_trains,
    count_cut,
    needed_inputs,
    used_tokens,
)
from .gather import gather_rows
from .sample_fields import batch_pids, check_marks, device_inputs
from .text_person_retriever import TextPersonRetriever
from .triplet_losses import triplet_losses

_INVERSION = ('text', 'vis')


@MODELS.register_module()
class ComposedPersonRetriever(TextPersonRetriever):
    """Queries of image and sentence against a gallery of images.

    Two trainings. With ``losses``, that of Word4Per's second stage: pairs of
    image and caption, the image's pseudo words behind a prompt are to
    mean what the caption says (``text``) or the image shows (``vis``). With
    a ``head``, that of FAFA: triplets of ``reference``, ``image`` (the
    target) and caption.

    Args:
        encoder (dict | nn.Module): An encoder, or an adapter model around
            one.
        query (dict, optional): How queries are made. The type defaults to
            ``mmtpr.EncoderQuery`` where the encoder makes queries itself,
            else to ``mmtpr.PseudoWordQuery``.
        target (dict, optional): How gallery items are made. The type
            defaults to ``mmtpr.EncoderTarget`` or ``mmtpr.PooledTarget``.
        head (dict, optional): Losses on triplets, ``mmtpr.FAFAHead``.
        losses (dict[str, dict], optional): ``text`` and/or ``vis`` -> config
            of a :class:`RetrievalLoss`, each with its ``weight``.
        freeze_encoder (bool): Whether the encoder keeps its weights and
            stays in evaluation mode. Defaults to False.
        baselines (bool): Whether to predict, for comparison, queries of the
            image alone, of the caption alone and of their sum. Defaults to
            True; left out where the encoder's features do not allow it.
        temperature (float, optional): Divisor of the cosines in ``losses``.
            None takes the encoder's own. Defaults to 0.02.
        learn_temperature (bool): Whether it trains. Defaults to False.
        gather (bool): Whether losses see the features of all processes, with
            gradient. Defaults to False.
        data_preprocessor (dict | nn.Module, optional): The type defaults to
            ``mmtpr.RetrievalDataPreprocessor``.
        init_cfg (dict, optional): Initialization config.

    Examples:
        >>> model = dict(
        ...     type='mmtpr.ComposedPersonRetriever',
        ...     encoder=dict(type='mmtpr.OpenCLIPEncoder', model='ViT-B-16'),
        ...     query=dict(type='mmtpr.PseudoWordQuery'),
        ...     losses=dict(text=dict(type='mmtpr.SDMLoss')),
        ...     freeze_encoder=True)
    """

    training_only = ('losses.', 'head.')

    # Built from configs: whatever offers what their base classes say.
    query: Any
    target: Any
    head: Any

    def __init__(
        self,
        encoder: dict | nn.Module,
        query: dict | None = None,
        target: dict | None = None,
        head: dict | None = None,
        losses: dict[str, dict] | None = None,
        freeze_encoder: bool = False,
        baselines: bool = True,
        temperature: float | None = 0.02,
        learn_temperature: bool = False,
        gather: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        check_parts(head, losses, _INVERSION)
        super().__init__(
            encoder,
            losses,
            temperature,
            learn_temperature,
            gather,
            data_preprocessor,
            init_cfg,
        )
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            self.encoder.requires_grad_(False)
        own = hasattr(self.encoder, 'encode_query')
        kinds = ('EncoderQuery', 'EncoderTarget')
        if not own:
            kinds = ('PseudoWordQuery', 'PooledTarget')
        self.query = self._part(query, kinds[0])
        self.target = self._part(target, kinds[1])
        self.baselines = baselines and not own
        self.head = build_head(head, self.target)

    def _check_encoder(self) -> None:
        """Check a dual encoder; one that makes queries needs no more."""
        if not hasattr(self.encoder, 'encode_query'):
            super()._check_encoder()

    def _part(self, cfg: dict | None, kind: str) -> nn.Module:
        cfg = {'type': f'mmtpr.{kind}', **(cfg or {})}
        return MODELS.build(cfg, default_args=dict(encoder=self.encoder))

    def train(self, mode: bool = True) -> 'ComposedPersonRetriever':
        """Set the mode; a frozen encoder stays in evaluation mode.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            ComposedPersonRetriever: Itself.
        """
        super().train(mode)
        if self.freeze_encoder:
            rest_frozen(self.encoder.modules())
        return self

    def extract_image_feat(self, images: Tensor) -> Tensor:
        """Embed gallery images.

        Args:
            images (Tensor): Normalised images of shape (M, 3, H, W).

        Returns:
            Tensor: Of shape (M, T, D), L2-normalised, float32.
        """
        return _normalized(self.target(self.encoder, images).tokens)

    def extract_query_feat(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Embed reference images with their sentences.

        Args:
            images (Tensor): Normalised images of shape (K, 3, H, W).
            tokens (Tensor): Token ids of shape (K, L).

        Returns:
            Tensor: Of shape (K, D), L2-normalised, float32.
        """
        return _normalized(self.query(self.encoder, images, tokens).feats)

    def _features(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = {}
        if 'image' in inputs:
            features['image'] = self.extract_image_feat(inputs['image'])
        image_rows, token_rows, _ = rows_of_queries(inputs)
        if image_rows:
            features['query'] = self.extract_query_feat(
                inputs['image'][image_rows], inputs['tokens'][token_rows]
            )
        return features

    def loss_inputs(
        self,
        inputs: dict[str, Any],
        data_samples: Sequence[RetrievalDataSample],
    ) -> dict[str, Any]:
        """Do what the losses of a batch need of the host.

        Args:
            inputs (dict): Output of the data preprocessor: ``image`` and
                ``tokens``, of triplets ``reference``; in place of pairs
                ``image_feat`` and ``text_feat`` of cached features.
            data_samples (Sequence[RetrievalDataSample]): Samples with pid.

        Returns:
            dict: Tensors of ``inputs`` on the device with ``pid`` (B, );
            ``several``, whether this process has several ids; ``tokens_used``.

        Raises:
            ValueError: If something is missing, or all ids are equal.
        """
        check_trains(self.head, self.losses)
        device = next(self.parameters()).device
        check_marks(data_samples, (), type(self).__name__)
        ids, pid_range = batch_pids(inputs, data_samples, device)
        if not self.gather:
            check_several_ids(ids, pid_range)
        for names in needed_inputs(inputs, self.head, self.losses):
            check_present(inputs, names, len(ids))
        ready: dict[str, Any] = device_inputs(inputs)
        ready.update(pid=ids, several=pid_range[0] != pid_range[1])
        ready.update(used_tokens(inputs))
        if self.head is not None or 'text' in self.losses:
            ready.update(count_cut(data_samples))
        return ready

    def compute_losses(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Compute the losses of a batch of triplets or of pairs.

        Args:
            inputs (dict): Output of :meth:`loss_inputs`.

        Returns:
            dict[str, Tensor]: Losses, and maybe ``cut_captions``, by name.

        Raises:
            ValueError: If all ids of all processes are equal.
        """
        known = {k: v for k, v in inputs.items() if k == 'cut_captions'}
        if self.head is None:
            return self._inversion_losses(inputs, inputs['pid']) | known
        losses, cut = triplet_losses(self, inputs)
        return losses | (known if cut is None else count_cut((), cut))

    def make_query(self, images: Tensor, tokens: Tensor, inputs: dict) -> Any:
        """Compose queries of a batch.

        Args:
            images (Tensor): Reference images of shape (K, 3, H, W).
            tokens (Tensor): Token ids of shape (K, L).
            inputs (dict): May tell by ``tokens_used`` how long they are.

        Returns:
            QueryFeatures: The queries.
        """
        parts = self.encoder, images, tokens
        takes = getattr(self.query, 'takes_length', False)
        if takes and 'tokens_used' in inputs:
            return self.query(*parts, inputs['tokens_used'].shape[0])
        return self.query(*parts)

    def _inversion_losses(self, inputs: dict, ids: Tensor) -> dict:
        several, text = inputs['several'], None
        image = self._frozen_feature(inputs, 'image')
        if 'text' in self.losses:
            text = self._frozen_feature(inputs, 'text')
        prompts, scale = self.query.prompts(self.encoder, image), self.scale()
        goals: dict[str, Any] = dict(text=text, vis=image)
        return {
            f'loss_{name}': sum(
                self._compare(loss, prompt, goals[name], ids, several, scale)
                for prompt in prompts
            )
            / len(prompts)
            for name, loss in self.losses.items()
        }

    def _compare(
        self, loss: RetrievalLoss, prompt, goal, ids, several, scale
    ) -> Tensor:
        """Compare prompts with what their pseudo words are to mean, (B, D)."""
        goal = goal.to(prompt.dtype)
        if self.gather and loss.across_processes:
            prompt, goal, ids = gather_rows(prompt, goal, ids)
        if self.gather and not several:
            check_several_ids(ids)
        return loss(RetrievalFeatures(prompt, goal, ids, scale))

    def _frozen_feature(self, inputs: dict, kind: str) -> Tensor:
        """A cached feature, or the encoder's, without gradient if frozen."""
        if f'{kind}_feat' in inputs:
            return inputs[f'{kind}_feat']
        name = 'tokens' if kind == 'text' else 'image'
        encode = getattr(self.encoder, f'encode_{kind}')
        enabled = torch.is_grad_enabled() and not self.freeze_encoder
        with torch.set_grad_enabled(enabled):
            return encode(inputs[name])

    def predict(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[RetrievalDataSample],
    ) -> list[RetrievalDataSample]:
        """Put an embedding on every sample.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample]): Samples. Queries
                have an image, the reference, and a caption; all others an
                image.

        Returns:
            list[RetrievalDataSample]: The samples, L2-normalised, float32:
            ``features``, (D, ) of a query, (T, D) of a gallery item; of a
            query also ``features_image``, ``features_text``,
            ``features_sum`` and, with several TINets, ``features_tinet0``
            and so on; of a gallery item ``features_pooled``, (1, D), where
            the target gives one. Queries know ``caption_cut``.

        Raises:
            ValueError: If a sample lacks image or caption.
        """
        rows, token_rows, owners, queries = query_rows(inputs, data_samples)
        if queries:
            tokens, used = inputs['tokens'][token_rows], used_tokens(inputs)
            query = self.make_query(inputs['image'][rows], tokens, used)
            self._predict_queries(query, tokens, owners, queries)
        put_composed_negatives(data_samples, inputs, self.extract_query_feat)
        image_rows, items = gallery_rows(inputs, data_samples)
        if items:
            self._predict_gallery(inputs['image'][image_rows], items)
        return list(data_samples)

    def _predict_queries(self, query, tokens, owners, samples) -> None:
        rows = dict(query.rows)
        if self.baselines:
            rows['text'] = self.encoder.encode_text(tokens)
            rows['sum'] = fuse_features([rows['image'], rows['text']])
        fields = {f'features_{k}': v for k, v in rows.items()}
        for name, value in (fields | dict(features=query.feats)).items():
            mean = mean_of_parts(_normalized(value), owners, len(samples))
            put_rows(samples, {name: mean})
        if query.cut is not None:
            for owner, cut in zip(owners, query.cut.tolist(), strict=True):
                samples[owner].set_metainfo(dict(caption_cut=cut))

    def _predict_gallery(self, images, samples) -> None:
        target = self.target(self.encoder, images)
        fields = dict(features=_normalized(target.tokens))
        if target.pooled is not None:
            fields['features_pooled'] = _normalized(target.pooled)[:, None]
        put_rows(samples, fields)


def _normalized(feats: Tensor) -> Tensor:
    return F.normalize(feats.float(), dim=-1)
