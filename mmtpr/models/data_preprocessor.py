"""Data preprocessor: collated samples become a retriever's tensors."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmtpr.registry import MODELS
from mmtpr.structures import (
    FACT_FIELDS,
    FEATURE_FIELDS,
    check_attributes,
    collate_samples,
    stack_batch,
    text_fields,
)
from mmtpr.text.vocabulary_check import check_vocabulary

# OpenAI CLIP's statistics of RGB images in 0..1.
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@MODELS.register_module()
class RetrievalDataPreprocessor(BaseDataPreprocessor):
    """Collect, move and normalise images; collect and move tokens.

    A batch may mix pairs, captions without image and images without
    caption. Images travel to the device as bytes.

    Args:
        mean (Sequence[float], optional): Mean of each channel, in RGB order
            (BGR if ``to_rgb`` is False) and 0..255. Defaults to None: that of
            the encoder, if it tells, else CLIP's.
        std (Sequence[float], optional): Standard deviation likewise.
        to_rgb (bool): Whether images come as BGR, as mmcv loads them, and
            the model wants RGB. Defaults to True.
        non_blocking (bool): Whether the host goes on while a batch is
            copied, as it does with ``pin_memory=True``. Defaults to True.
        own_statistics (bool): Whether ``mean`` and ``std`` are meant where
            the encoder tells others. Defaults to False.

    Attributes:
        vocab_size (int | None): Words of the encoder, set by a retriever
            that wants token ids checked before they leave the CPU.
        leaves_bytes (bool): Whether images of a training batch stay bytes,
            set by a retriever that calls :meth:`normalise` for a part of the
            batch at a time.
    """

    vocab_size: int | None = None
    leaves_bytes: bool = False

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        to_rgb: bool = True,
        non_blocking: bool = True,
        own_statistics: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        self._given = dict(mean=mean, std=std)
        self._own_statistics = own_statistics
        mean = mean or [255 * value for value in _CLIP_MEAN]
        std = std or [255 * value for value in _CLIP_STD]
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(
                f'mean and std need 3 values each, got {mean} and {std}.'
            )
        self.to_rgb = to_rgb
        for name, values in (('mean', mean), ('std', std)):
            value = torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def follow(self, encoder: Any) -> None:
        """Take the statistics of an encoder where none were given.

        Args:
            encoder (Any): May have ``image_mean`` and ``image_std``, of RGB
                images in 0..1.

        Raises:
            ValueError: If others were given, without ``own_statistics``.
        """
        for name, given in self._given.items():
            told = getattr(encoder, f'image_{name}', None)
            if told is None or self._own_statistics:
                continue
            values = [255 * value for value in told][
                :: 1 if self.to_rgb else -1
            ]
            buffer = getattr(self, name)
            wanted = buffer.new_tensor(values).view(1, 3, 1, 1)
            if given is not None and not torch.allclose(
                wanted, buffer, rtol=1e-3, atol=1e-3
            ):
                raise ValueError(
                    f'data_preprocessor has {name}={[*given]}, but the '
                    f'encoder was trained with {values}: take {name} out, or '
                    'set own_statistics=True if it is meant.'
                )
            if given is None:
                buffer.copy_(wanted)

    def function_facts(self) -> dict[str, Any]:
        """Tell how images are normalised.

        Returns:
            dict: See :mod:`mmtpr.checkpoints.function_facts`.
        """
        return dict(
            mean=self.mean.flatten().tolist(), std=self.std.flatten().tolist()
        )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data (dict): What ``mmtpr.collate_samples`` makes, or
                ``pseudo_collate`` of mmengine: ``inputs``, a dict with
                ``image`` and any other images such as ``reference``, lists
                of (3, H, W) uint8 tensors and None; ``data_samples``, list
                of :class:`RetrievalDataSample` with any of its text fields
                (``tokens``, ...), of shape (L, ), or with cached
                ``image_feat`` and ``text_feat`` of shape (D, ).
            training (bool): Whether the batch trains; ids then go to the
                device as well. Defaults to False.

        Returns:
            dict: ``data_samples`` as given and ``inputs``, a dict with
            ``image`` (M, 3, H, W) float32 (uint8 in training with
            ``leaves_bytes``), the text fields (K, L) long, and
            ``image_index`` (M, ), ``tokens_index`` (K, ), on the CPU, with
            the positions in ``data_samples``; ``tokens_length``, how many
            columns of ``tokens`` are more than padding; for any other image
            ``<name>`` and ``<name>_index`` likewise; ``image_feat``,
            ``text_feat`` (K, D) float32. What no sample has is absent. In
            training also ``pid``, ``image_id`` and ``label_hat`` (B, ) long,
            ``attributes`` (B, A) long, ``pid_range``, the smallest and the
            largest pid, ``mlm_index`` (H, ), the rows of the hidden words
            among those of all captions, and ``mlm_counts``, their number in
            each.

        Raises:
            ValueError: If images differ in size, only a part of the
                captions is masked, a token id is beyond ``vocab_size`` or an
                attribute is none.
        """
        samples = data.get('data_samples')
        if samples is None:
            raise ValueError(
                'The batch has no data_samples: the pipeline of the dataset '
                f'must end with PackRetrievalInputs. It has {sorted(data)}.'
            )
        if 'rows' not in data:
            data = stack_batch(data.get('inputs', {}), samples)
        fields = text_fields()
        inputs: dict[str, Any] = {}
        for name, value in data['inputs'].items():
            if name in FACT_FIELDS and not training:
                continue
            if name in fields and fields[name].words:
                check_vocabulary(value, self.vocab_size)
            if name == 'attributes':
                check_attributes(value)
            if name == 'pid':
                inputs['pid_range'] = (int(value.min()), int(value.max()))
            moved = self._move(value)
            if name in FEATURE_FIELDS:
                moved = moved.float()
            is_image = name not in (*fields, *FEATURE_FIELDS, *FACT_FIELDS)
            if is_image and not (training and self.leaves_bytes):
                moved = self.normalise(moved)
            inputs[name] = moved
            if name == 'mlm_labels' and training:
                # Losses bring encoders along, which an export does without.
                from mmtpr.models.losses.functional import hidden_rows

                rows = hidden_rows(value)
                owners = rows // value.shape[1]  # (H,)
                counts = owners.bincount(minlength=len(value))  # (B,)
                inputs['mlm_index'] = self._move(rows)
                inputs['mlm_counts'] = counts.tolist()
            if name == 'tokens':
                inputs['tokens_length'] = used_length(value)
            if is_image or name in ('tokens', 'negative_tokens'):
                # Whose rows are whose is asked on the CPU.
                inputs[f'{name}_index'] = torch.tensor(data['rows'][name])
        # Of what is not wanted each query has some or none.
        _check_same_captions(inputs, fields.keys() - {'negative_tokens'})
        return {'inputs': inputs, 'data_samples': samples}

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images, each by itself.

        Args:
            images (Tensor): Of shape (M, 3, H, W), uint8, on the device.

        Returns:
            Tensor: Of the same shape, float32.
        """
        if self.to_rgb:
            images = images.flip(1)
        return (images - self.mean) / self.std  # (M, 3, H, W)

    def _move(self, value: Tensor) -> Tensor:
        return value.to(self.device, non_blocking=self._non_blocking)


def collate_for(preprocessor: Any) -> Callable[[list[dict]], dict]:
    """Choose what makes batches of packed samples for a preprocessor.

    Args:
        preprocessor (Any): The data preprocessor.

    Returns:
        Callable: ``mmtpr.collate_samples`` for one of mmtpr, else mmengine's
        ``pseudo_collate``, whose lists preprocessors of others take.
    """
    ours = isinstance(preprocessor, RetrievalDataPreprocessor)
    return collate_samples if ours else pseudo_collate


def used_length(tokens: Tensor) -> int:
    """Count the columns of token ids that hold more than padding.

    Args:
        tokens (Tensor): Of shape (K, L), on the CPU.

    Returns:
        int: At least the longest caption with its end-of-text token, which
        may look like the padding behind it.
    """
    padding = (tokens == tokens[:, -1:]).all(dim=0)  # (L,)
    behind = int(padding.flip(0).int().cumprod(dim=0).sum())
    return min(tokens.shape[1], tokens.shape[1] - behind + 1)


def _check_same_captions(
    inputs: dict[str, Tensor], names: Iterable[str]
) -> None:
    rows = {len(inputs[name]) for name in names if name in inputs}
    if len(rows) > 1:
        raise ValueError(
            'Only a part of the captions of this batch is masked or '
            "augmented; 'mmtpr.MaskTokens' and 'mmtpr.CaptionEDA' must see "
            'all of them.'
        )
