"""Data preprocessor: collated samples become a retriever's tensors."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmtpr.registry import MODELS
from mmtpr.structures import text_fields
from mmtpr.text.vocabulary_check import check_vocabulary

# OpenAI CLIP's statistics of RGB images in 0..1.
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# What a dataset of cached features brings in place of images and captions.
_FEATURE_FIELDS = ('image_feat', 'text_feat')


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
        non_blocking (bool): Whether to copy asynchronously, useful with
            ``pin_memory=True``. Defaults to False.
        own_statistics (bool): Whether ``mean`` and ``std`` are meant where
            the encoder tells others. Defaults to False.

    Attributes:
        vocab_size (int | None): Words of the encoder, set by a retriever
            that wants token ids checked before they leave the CPU.
    """

    vocab_size: int | None = None

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        to_rgb: bool = True,
        non_blocking: bool = False,
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
            data (dict): ``inputs``, a dict with ``image`` and any other
                images such as ``reference``: lists of (3, H, W) uint8
                tensors and None; ``data_samples``: list of
                :class:`RetrievalDataSample` with any of its text fields
                (``tokens``, ...), of shape (L, ), or with cached
                ``image_feat`` and ``text_feat`` of shape (D, ).
            training (bool): Not used.

        Returns:
            dict: ``data_samples`` as given and ``inputs``, a dict with
            ``image`` (M, 3, H, W) float32, the text fields (K, L) long,
            ``image_index`` (M, ), ``tokens_index`` (K, ) with the positions
            in ``data_samples``; for any other image ``<name>`` and
            ``<name>_index`` likewise; ``image_feat``, ``text_feat`` (K, D)
            float32. What no sample has is absent.

        Raises:
            ValueError: If images differ in size, only a part of the
                captions is masked or a token id is beyond ``vocab_size``.
        """
        samples = data.get('data_samples')
        if samples is None:
            raise ValueError(
                'The batch has no data_samples: the pipeline of the dataset '
                f'must end with PackRetrievalInputs. It has {sorted(data)}.'
            )
        inputs = {}
        for name, images in data.get('inputs', {}).items():
            inputs.update(self._images(name, images, samples))
        fields = text_fields()
        for name in (*fields, *_FEATURE_FIELDS):
            values = [getattr(sample, name, None) for sample in samples]
            stacked, index = self._stack(values, samples, name)
            if index and name == 'tokens':
                inputs['tokens_index'] = self._move(torch.tensor(index))
            if index:
                whole = name in fields
                inputs[name] = stacked if whole else stacked.float()
        _check_same_captions(inputs, fields)
        return {'inputs': inputs, 'data_samples': samples}

    def _images(self, name: str, images, samples) -> dict[str, Tensor]:
        # Moving single images lets pinned memory be of use.
        moved = [None if x is None else self._move(x) for x in images]
        batch, index = self._stack(moved, samples, name)
        if not index:
            return {}
        if self.to_rgb:
            batch = batch.flip(1)
        return {
            name: (batch - self.mean) / self.std,
            f'{name}_index': self._move(torch.tensor(index)),
        }

    def _stack(self, values, samples, name: str) -> tuple:
        index = [i for i, value in enumerate(values) if value is not None]
        if not index:
            return None, index
        chosen = [values[i] for i in index]
        shapes = {tuple(value.shape) for value in chosen}
        if len(shapes) > 1:
            raise ValueError(_sizes_message(chosen, index, samples, name))
        stacked = torch.stack(chosen)
        field = text_fields().get(name)
        if field is not None and field.words:
            check_vocabulary(stacked, self.vocab_size)
        return self._move(stacked), index

    def _move(self, value: Tensor) -> Tensor:
        return value.to(self.device, non_blocking=self._non_blocking)


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


def _sizes_message(chosen, index, samples, name: str) -> str:
    """Name one sample for each size."""
    seen: dict = {}
    for value, position in zip(chosen, index, strict=True):
        seen.setdefault(tuple(value.shape), samples[position])
    found = ', '.join(
        f'{shape} of "{_source(sample, name)}"'
        for shape, sample in seen.items()
    )
    cure = (
        "dict(type='Resize', scale=(width, height), keep_ratio=False)"
        if chosen[0].dim() == 3
        else "'mmtpr.TokenizeCaption' with one context_length"
    )
    return (
        f'The {name} tensors of a batch differ in shape: {found}. Add {cure} '
        'to the pipeline.'
    )


def _source(sample, name: str) -> str | None:
    """File or caption a tensor was made of."""
    keys = (f'{name}_path', 'img_path', 'caption')
    return next((sample.get(key) for key in keys if sample.get(key)), None)
