"""Ids and attributes of samples, collected into tensors."""

from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from mmtpr.structures import RetrievalDataSample


@overload
def sample_ids(
    samples: Sequence[RetrievalDataSample],
    name: str,
    required: Literal[True] = True,
) -> Tensor: ...


@overload
def sample_ids(
    samples: Sequence[RetrievalDataSample], name: str, required: bool
) -> Tensor | None: ...


def sample_ids(
    samples: Sequence[RetrievalDataSample], name: str, required: bool = True
) -> Tensor | None:
    """Collect an id of all samples.

    Args:
        samples (Sequence[RetrievalDataSample]): B samples.
        name (str): ``'pid'`` or ``'image_id'``.
        required (bool): Whether a sample without it is an error. Defaults to
            True.

    Returns:
        Tensor | None: Of shape (B, ), long, on the CPU; None if one is
        absent.

    Raises:
        ValueError: If it is required and absent.
    """
    values = [sample.get(name) for sample in samples]
    if all(value is not None for value in values):
        return torch.tensor(values, dtype=torch.long)
    if required:
        sample = samples[values.index(None)]
        raise ValueError(
            f'Training needs a {name} in every sample; '
            f'"{sample.get("img_path")}" has none.'
        )
    return None


def sample_attributes(
    samples: Sequence[RetrievalDataSample],
) -> Tensor | None:
    """Collect the attributes of all samples.

    Args:
        samples (Sequence[RetrievalDataSample]): B samples.

    Returns:
        Tensor | None: 0, 1 or -1 (unknown), of shape (B, A), long, on the
        CPU; None if a sample has none.

    Raises:
        ValueError: If their number differs or a value is another one.
    """
    values = [sample.get('attributes') for sample in samples]
    if any(value is None for value in values):
        return None
    sizes = {len(value) for value in values}
    if len(sizes) > 1:
        raise ValueError(
            f'Samples of a batch have {sorted(sizes)} attributes; datasets '
            'with different attributes cannot be mixed.'
        )
    found = torch.tensor(values, dtype=torch.long)
    if found.numel() and not -1 <= found.min() <= found.max() <= 1:
        raise ValueError(
            'Attributes must be 0, 1 or -1 (unknown), got values from '
            f'{int(found.min())} to {int(found.max())}.'
        )
    return found
