"""Text-based person retrieval with a dual encoder."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmtpr.models.encoders.contract import DualEncoder, check_encoder
from mmtpr.models.losses import RetrievalFeatures, RetrievalLoss
from mmtpr.models.temperature import bounded_scale
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.predictions import put_by_kind
from mmtpr.structures.query_parts import put_negatives
from mmtpr.text.word_swaps import swap_tokens

from .accumulation import View, accumulated_losses, check_accumulate
from .build_loss import build_losses
from .embeddings import (
    build_necks,
    check_weights,
    embed_captions,
    embed_images,
    join_embeddings,
    pair_views,
)
from .gather import gather_features
from .pair_losses import marks_readers
from .sample_fields import (
    batch_image_ids,
    batch_label_hat,
    batch_pids,
    check_marks,
    check_pairs,
    device_inputs,
)


@MODELS.register_module()
class TextPersonRetriever(BaseModel):
    """Two encoders and any number of losses.

    Args:
        encoder (dict | nn.Module): A dual encoder such as
            ``mmtpr.OpenCLIPEncoder``, or an adapter model around one.
        losses (dict[str, dict], optional): Name -> config of a
            :class:`RetrievalLoss`; logged as ``loss_<name>``. What a loss has
            to know of the encoder (widths, vocabulary) is filled in.
        temperature (float, optional): Divisor of the cosines. None takes the
            encoder's own ``logit_scale``. Defaults to 0.02.
        learn_temperature (bool): Whether that trains. Defaults to False.
        gather (bool): Whether losses over pairs see the features of all
            processes, with gradient. Batches must then be of equal size
            everywhere. Defaults to False.
        accumulate (int): Parts a training batch is encoded in, one after the
            other and once more in the backward pass, so that activations of
            one part alone are held. Losses over pairs see the whole batch;
            others, such as MLM, a part each. Defaults to 1.
        data_preprocessor (dict | nn.Module, optional): The type defaults to
            ``mmtpr.RetrievalDataPreprocessor``.
        init_cfg (dict, optional): Initialization config.
        necks (dict[str, dict], optional): Name -> config of a neck such as
            ``mmtpr.TokenSelection``, which makes one more embedding. A loss
            with ``embedding='<name>'`` is taken of it. The similarity is the
            mean of all cosines by the ``weight`` of each neck.
        global_weight (float): Weight of the cosine of the encoder's own
            embedding in that mean. Defaults to 1.0.

    Examples:
        >>> model = dict(
        ...     type='mmtpr.TextPersonRetriever',
        ...     encoder=dict(
        ...         type='mmtpr.OpenCLIPEncoder',
        ...         model='ViT-B-16-quickgelu',
        ...         pretrained='openai',
        ...         image_size=(384, 128)),
        ...     losses=dict(
        ...         sdm=dict(type='mmtpr.SDMLoss'),
        ...         id=dict(type='mmtpr.IDLoss', num_classes=11003),
        ...         mlm=dict(type='mmtpr.MLMLoss')))
    """

    #: Starts of keys that only training needs.
    training_only: tuple[str, ...] = ('losses.',)

    # An encoder by contract, or an adapter model around one.
    encoder: Any
    losses: Any  # nn.ModuleDict of RetrievalLoss, by name
    necks: Any  # nn.ModuleDict of further embeddings, by name

    def __init__(
        self,
        encoder: dict | nn.Module,
        losses: dict[str, dict] | None = None,
        temperature: float | None = 0.02,
        learn_temperature: bool = False,
        gather: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
        accumulate: int = 1,
        necks: dict[str, dict] | None = None,
        global_weight: float = 1.0,
    ) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = dict(data_preprocessor or {})
            data_preprocessor.setdefault(
                'type', 'mmtpr.RetrievalDataPreprocessor'
            )
        super().__init__(data_preprocessor, init_cfg)
        is_module = isinstance(encoder, nn.Module)
        self.encoder = encoder if is_module else MODELS.build(encoder)
        self._check_encoder()
        if hasattr(self.data_preprocessor, 'follow'):
            self.data_preprocessor.follow(self.encoder)
        self.necks = build_necks(necks, self.encoder)
        self.losses = build_losses(losses, self.encoder, self.necks)
        shares = [neck.weight for neck in self.necks.values()]
        self.embedding_weights = check_weights([global_weight, *shares])
        self.gather = gather
        parts = nn.ModuleList([self.encoder, self.necks])
        self.accumulate = check_accumulate(accumulate, parts)
        self.data_preprocessor.leaves_bytes = accumulate > 1
        self._set_temperature(temperature, learn_temperature)

    def _check_encoder(self) -> None:
        """Check the encoder's contract; retrievers of other kinds differ."""
        check_encoder(self.encoder, DualEncoder)

    def _set_temperature(self, temperature: float | None, learn: bool) -> None:
        if temperature is not None and temperature <= 0:
            raise ValueError(f'temperature must be > 0, got {temperature}.')
        own = getattr(self.encoder, 'logit_scale', None)
        if temperature is None and own is None:
            raise ValueError(
                'temperature=None takes the logit_scale of the encoder, but '
                f'{type(self.encoder).__name__} has none.'
            )
        self.temperature = temperature
        if temperature is not None and learn:
            start = torch.tensor(math.log(1 / temperature))
            self.logit_scale = nn.Parameter(start)
        # A parameter that trains but is not used stops distributed training.
        if own is not None:
            own.requires_grad_(learn and temperature is None)

    def scale(self) -> Tensor | float:
        """Factor of the cosines.

        Returns:
            Tensor | float: 1 / temperature, at most 100 if it is learnt or
            the encoder's.
        """
        if self.temperature is None:
            return bounded_scale(self.encoder.logit_scale, self.training)
        if hasattr(self, 'logit_scale'):
            return bounded_scale(self.logit_scale, self.training)
        return 1 / self.temperature

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[RetrievalDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[RetrievalDataSample]:
        """Encode, compute losses or predict.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample], optional): Samples.
            mode (str): ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            dict | list: Features by ``'image'`` (M, T, D) and ``'text'``
            (K, D), normalised; losses by name; or the samples with features.

        Raises:
            RuntimeError: If the mode is unknown.
        """
        if mode == 'tensor':
            return self._features(inputs)
        # Only mode='tensor' goes without samples.
        if mode == 'loss':
            return self.loss(inputs, data_samples)  # type: ignore[arg-type]
        if mode == 'predict':
            return self.predict(inputs, data_samples)  # type: ignore[arg-type]
        raise RuntimeError(
            f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}."
        )

    def extract_image_feat(self, images: Tensor) -> Tensor:
        """Embed images.

        Args:
            images (Tensor): Normalised images of shape (M, 3, H, W).

        Returns:
            Tensor: Of shape (M, T, D) with T = 1, L2-normalised, float32; of
            several embeddings joined, see :func:`join_embeddings`.
        """
        made, _ = embed_images(self.encoder, self.necks, images)
        return join_embeddings(made, self.embedding_weights).unsqueeze(1)

    def extract_text_feat(self, tokens: Tensor) -> Tensor:
        """Embed captions.

        Args:
            tokens (Tensor): Token ids of shape (K, L).

        Returns:
            Tensor: Of shape (K, D), L2-normalised, float32, joined likewise.
        """
        made = embed_captions(self.encoder, self.necks, tokens)
        return join_embeddings(made, self.embedding_weights)

    def _features(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = {}
        if 'image' in inputs:
            features['image'] = self.extract_image_feat(inputs['image'])
        if 'tokens' in inputs:
            features['text'] = self.extract_text_feat(inputs['tokens'])
        return features

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[RetrievalDataSample],
    ) -> dict[str, Tensor]:
        """Compute all losses of a batch of pairs.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample]): With pid.

        Returns:
            dict[str, Tensor]: ``loss_<name>`` -> scalar.

        Raises:
            ValueError: If no loss is configured or a sample is no pair.
        """
        return self.compute_losses(self.loss_inputs(inputs, data_samples))

    def loss_inputs(
        self,
        inputs: dict[str, Any],
        data_samples: Sequence[RetrievalDataSample],
    ) -> dict[str, Any]:
        """Do what the losses of a batch need of the host.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample]): B samples.

        Returns:
            dict: Tensors of ``inputs`` on the device, always with ``pid``
            (B, ), and ``prepared``, what each loss has made, by its name.
        """
        check_pairs(inputs, len(data_samples), self.losses)
        given = inputs, data_samples, inputs['image'].device
        pids, pid_range = batch_pids(*given)
        ready: dict[str, Any] = dict(device_inputs(inputs), pid=pids)
        ready['image_id'] = batch_image_ids(*given)
        ready['label_hat'] = batch_label_hat(*given)
        readers = marks_readers(self.losses)
        check_marks(data_samples, readers, type(self).__name__)
        if any(loss.needs_swapped for loss in self.losses.values()):
            ready['swapped_tokens'] = swap_tokens(ready['tokens'])
        if self.accumulate > 1:
            ready['mlm_counts'] = inputs.get('mlm_counts')
        known = dict(ready, pid_range=pid_range)
        made = {n: loss.prepare(known) for n, loss in self.losses.items()}
        return dict(ready, prepared=made)

    def compute_losses(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Compute all losses on the device: one graph to a compiler.

        Args:
            inputs (dict): Output of :meth:`loss_inputs`.

        Returns:
            dict[str, Tensor]: ``loss_<name>`` -> scalar.
        """
        ways, facts = (self._views, self._losses), self._pair_facts(inputs)
        parts = self.accumulate, self.data_preprocessor
        return accumulated_losses(*ways, inputs, facts, *parts)

    def _losses(
        self,
        features: RetrievalFeatures,
        losses: Mapping[str, RetrievalLoss],
    ) -> dict[str, Tensor]:
        wide = features
        if self.gather and any(x.across_processes for x in losses.values()):
            wide = gather_features(features)
        return {
            f'loss_{name}': self._apply_loss(
                loss, (wide if loss.across_processes else features).of(name)
            )
            for name, loss in losses.items()
        }

    def _apply_loss(
        self, loss: RetrievalLoss, features: RetrievalFeatures
    ) -> Tensor:
        return loss(features)

    def _pair_facts(self, inputs) -> RetrievalFeatures:
        """Ids and scale of a batch, still without features."""
        return RetrievalFeatures(
            image_feats=None,  # type: ignore[arg-type]
            text_feats=None,  # type: ignore[arg-type]
            pids=inputs['pid'],
            scale=self.scale(),
            image_ids=inputs.get('image_id'),
            label_hat=inputs.get('label_hat'),
            mlm_labels=inputs.get('mlm_labels'),
            mlm_index=inputs.get('mlm_index'),
            tokens=inputs['tokens'],
            prepared=inputs['prepared'],
        )

    def _views(self, inputs: Mapping[str, Any], facts: Any) -> list[View]:
        """Encode rows of a batch: what losses are taken of."""
        parts = self.encoder, self.necks, self.losses
        return pair_views(*parts, inputs, facts)

    def predict(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[RetrievalDataSample],
    ) -> list[RetrievalDataSample]:
        """Put an embedding on every sample.

        A query gets that of its caption, any other sample that of its
        image, or of its caption if it has no image.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample]): Samples.

        Returns:
            list[RetrievalDataSample]: The samples, ``features`` set: (D, )
            of a caption, (T, D) of an image, L2-normalised, float32.

        Raises:
            ValueError: If a sample has nothing to embed.
        """
        encoded = {
            kind: dict(features=features)
            for kind, features in self._features(inputs).items()
        }
        put_by_kind(data_samples, inputs, encoded)
        put_negatives(data_samples, inputs, self.extract_text_feat)
        return list(data_samples)
