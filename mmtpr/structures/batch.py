"""Stacking of packed samples: one tensor for each field of a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from .retrieval_data_sample import RetrievalDataSample, text_fields

#: Tensors that a dataset of cached features brings in place of images and
#: captions.
FEATURE_FIELDS = ('image_feat', 'text_feat')
#: Facts of samples that training reads as tensors.
FACT_FIELDS = ('pid', 'image_id', 'label_hat', 'attributes')


def stack_batch(
    inputs: Mapping[str, Sequence[Tensor | None]],
    samples: Sequence[RetrievalDataSample],
) -> dict[str, Any]:
    """Stack every field of a batch.

    In a process that loads data they are stacked into shared memory, so
    that the batch travels as one file for each field. A tensor for each
    sample would cost the reader one open file and a copy each.

    Args:
        inputs (Mapping): Name of an image -> B tensors (C, H, W), of a query
            of several images (K, C, H, W), or None.
        samples (Sequence[RetrievalDataSample]): B samples, with text fields
            of shape (L, ) or cached features of shape (D, ).

    Returns:
        dict: ``inputs``, a dict of name -> tensor of the K samples that have
        it, (K, ...): images, text fields, cached features, and, where all
        samples have them, ``pid``, ``image_id`` and ``label_hat`` (B, ) and
        ``attributes`` of shape (B, A), all long; ``rows``, a dict of name ->
        positions of the K samples, for all but these facts;
        ``data_samples`` as given.

    Raises:
        ValueError: If the tensors of a field differ in shape, naming one
            sample for each.
    """
    fields = dict(inputs)
    for name in (*text_fields(), *FEATURE_FIELDS):
        fields[name] = [getattr(sample, name, None) for sample in samples]
    stacked: dict[str, Tensor] = {}
    rows: dict[str, list[int]] = {}
    for name, values in fields.items():
        index = [i for i, value in enumerate(values) if value is not None]
        given = [value for value in values if value is not None]
        if any(value.dim() == 4 for value in given):  # a row an image
            index, given = _each_image(index, given)
        if index:
            _check_shapes(name, given, index, samples)
            stacked[name] = default_collate(given)
            rows[name] = index
    for name in FACT_FIELDS:
        facts = [sample.get(name) for sample in samples]
        if samples and _are_numbers(facts):
            stacked[name] = torch.tensor(facts, dtype=torch.long)
    return dict(inputs=stacked, rows=rows, data_samples=samples)


def _each_image(
    index: Sequence[int], values: Sequence[Tensor]
) -> tuple[list[int], list[Tensor]]:
    """Positions and images, a query of several images once for each."""
    several = [value if value.dim() == 4 else value[None] for value in values]
    found = [
        (i, image)
        for i, images in zip(index, several, strict=True)
        for image in images
    ]
    return [i for i, _ in found], [image for _, image in found]


def check_attributes(attributes: Tensor) -> None:
    """Check the values of attributes.

    Args:
        attributes (Tensor): Of any shape, on the CPU.

    Raises:
        ValueError: If one is not 0, 1 or -1.
    """
    if not attributes.numel():
        return
    low, high = int(attributes.min()), int(attributes.max())
    if low < -1 or high > 1:
        raise ValueError(
            'Attributes must be 0, 1 or -1 (unknown), got values from '
            f'{low} to {high}.'
        )


def _are_numbers(facts: Sequence[Any]) -> bool:
    """Tell whether all are integers, or lists of equally many."""
    if isinstance(facts[0], list):
        sizes = {len(x) if isinstance(x, list) else None for x in facts}
        values = (v for x in facts if isinstance(x, list) for v in x)
        return sizes == {len(facts[0])} and all(map(_is_long, values))
    return all(map(_is_long, facts))


def _is_long(value: Any) -> bool:
    """Tell whether a value is an integer that a tensor holds.

    Others, as pids made of a hash, pass through a test as they are.
    """
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _check_shapes(name: str, values, index, samples) -> None:
    """Name one sample for each shape, if there are several."""
    seen: dict = {}
    for i, value in zip(index, values, strict=True):
        seen.setdefault(tuple(value.shape), i)
    if len(seen) < 2:
        return
    found = ', '.join(
        f'{shape} of "{_source(samples[i], name)}"'
        for shape, i in seen.items()
    )
    cure = (
        "dict(type='Resize', scale=(width, height), keep_ratio=False)"
        if values[0].dim() == 3
        else "'mmtpr.TokenizeCaption' with one context_length"
    )
    raise ValueError(
        f'The {name} tensors of a batch differ in shape: {found}. Add {cure} '
        'to the pipeline.'
    )


def _source(sample: RetrievalDataSample, name: str) -> str | None:
    """File or caption a tensor was made of."""
    keys = (f'{name}_path', 'img_path', 'caption')
    return next((sample.get(key) for key in keys if sample.get(key)), None)
