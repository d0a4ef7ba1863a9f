"""Ids and attributes of samples, collected into tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor

from mmtpr.structures import RetrievalDataSample, check_attributes


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
        ValueError: If it is required and absent, or no whole number.
    """
    values = [sample.get(name) for sample in samples]
    if all(value is not None for value in values):
        return torch.tensor(
            [
                _whole(value, name, sample)
                for value, sample in zip(values, samples, strict=True)
            ],
            dtype=torch.long,
        )
    if required:
        sample = samples[values.index(None)]
        raise ValueError(
            f'Training needs a {name} in every sample; '
            f'"{sample.get("img_path")}" has none.'
        )
    return None


def _whole(value: Any, name: str, sample: RetrievalDataSample) -> int:
    """Read an id that may come as an integer of NumPy or torch, or 3.0."""
    try:
        number = int(value)
        fits = number == value and -(1 << 63) <= number < 1 << 63
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise ValueError(
            f'Training needs whole numbers of 64 bits as {name}, but '
            f'"{sample.get("img_path")}" has {value!r}: number them in the '
            'dataset.'
        )
    return number


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
    check_attributes(found)
    return found


def check_pairs(inputs: Mapping[str, Any], number: int, losses: Any) -> None:
    """Check that there are losses, and pairs to take them of.

    Args:
        inputs (Mapping): Output of the data preprocessor.
        number (int): Samples in the batch.
        losses (Collection): The losses.

    Raises:
        ValueError: If there is no loss, or a sample is no pair.
    """
    if not losses:
        raise ValueError(
            'Training needs losses: set losses=dict(sdm=dict(type='
            "'mmtpr.SDMLoss'), ...) of the retriever."
        )
    for name in ('image', 'tokens'):
        found = len(inputs.get(name, ()))
        if found != number:
            raise ValueError(
                f'Training takes pairs, but of the {number} samples of this '
                f'batch only {found} have {name}.'
            )


def device_inputs(inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Choose the tensors of a batch that losses are computed from.

    Args:
        inputs (Mapping): Output of the data preprocessor.

    Returns:
        dict[str, Tensor]: All tensors but ``<name>_index``, which tell on the
        CPU whose the rows of ``<name>`` are.
    """
    return {
        name: value
        for name, value in inputs.items()
        if isinstance(value, Tensor)
        and name.removesuffix('_index') not in inputs.keys() - {name}
    }


def batch_pids(
    inputs: Mapping[str, Any],
    samples: Sequence[RetrievalDataSample],
    device: torch.device,
) -> tuple[Tensor, tuple[int, int]]:
    """Give the identities of a training batch, on the device.

    Args:
        inputs (Mapping): Output of the data preprocessor, which has them as
            a rule; one of another kind may not.
        samples (Sequence[RetrievalDataSample]): B samples.
        device (torch.device): Where they are needed.

    Returns:
        tuple[Tensor, tuple[int, int]]: Of shape (B, ), long; the smallest
        and the largest, known without asking the device.

    Raises:
        ValueError: If a sample has none.
    """
    if 'pid' in inputs and 'pid_range' in inputs:
        return inputs['pid'], inputs['pid_range']
    pids = sample_ids(samples, 'pid')
    return pids.to(device), (int(pids.min()), int(pids.max()))


def batch_image_ids(
    inputs: Mapping[str, Any],
    samples: Sequence[RetrievalDataSample],
    device: torch.device,
) -> Tensor | None:
    """Give the identities of the images of a training batch.

    Args:
        inputs (Mapping): Output of the data preprocessor.
        samples (Sequence[RetrievalDataSample]): B samples.
        device (torch.device): Where they are needed.

    Returns:
        Tensor | None: Of shape (B, ), long; None if a sample has none.
    """
    if 'image_id' in inputs:
        return inputs['image_id']
    return _moved(sample_ids(samples, 'image_id', required=False), device)


def check_marks(
    samples: Sequence[RetrievalDataSample], names: Sequence[str], who: str
) -> None:
    """Check that some loss leaves out pairs that are marked.

    Args:
        samples (Sequence[RetrievalDataSample]): The batch.
        names (Sequence[str]): Losses that read ``label_hat``.
        who (str): Name of the retriever, for the message.

    Raises:
        ValueError: If there is none, and a pair is marked by 0.
    """
    if not names and any(sample.get('label_hat') == 0 for sample in samples):
        raise ValueError(
            'Pairs of this batch are not to train (label_hat 0), but no loss '
            f'of {who} leaves pairs out. Train with losses of single pairs '
            '(mmtpr.TALLoss, mmtpr.TRLLoss, mmtpr.ITCLoss), or let '
            'mmtpr.RelevanceFilteredDataset take such pairs out.'
        )


def batch_label_hat(
    inputs: Mapping[str, Any],
    samples: Sequence[RetrievalDataSample],
    device: torch.device,
) -> Tensor | None:
    """Give which pairs of a training batch count.

    Args:
        inputs (Mapping): Output of the data preprocessor.
        samples (Sequence[RetrievalDataSample]): B samples, all with
            ``label_hat`` or none.
        device (torch.device): Where they are needed.

    Returns:
        Tensor | None: 1 where a pair counts, else 0, of shape (B, ), long;
        None if no sample tells.

    Raises:
        ValueError: If some samples tell and others do not, or a value is
            neither 0 nor 1.
    """
    values = [sample.get('label_hat') for sample in samples]
    told = sum(value is not None for value in values)
    if not told:
        return None
    if told < len(values):
        raise ValueError(
            f'label_hat says which pairs count, but of the {len(values)} '
            f'samples of this batch only {told} have it: all or none must.'
        )
    found = sample_ids(samples, 'label_hat')
    low, high = int(found.min()), int(found.max())
    if low < 0 or high > 1:
        raise ValueError(
            f'label_hat must be 0 or 1, got values from {low} to {high}. -1 '
            'is that of a pair on which nobody has decided: with '
            'mmtpr.SelectedPairsDataset the config needs custom_hooks=[dict('
            "type='mmtpr.PairSelectionHook')]."
        )
    return inputs.get('label_hat', _moved(found, device))


def batch_attributes(
    inputs: Mapping[str, Any],
    samples: Sequence[RetrievalDataSample],
    device: torch.device,
) -> Tensor | None:
    """Give the attributes of a training batch.

    Args:
        inputs (Mapping): Output of the data preprocessor.
        samples (Sequence[RetrievalDataSample]): B samples.
        device (torch.device): Where they are needed.

    Returns:
        Tensor | None: See :func:`sample_attributes`, on the device.

    Raises:
        ValueError: See :func:`sample_attributes`.
    """
    if 'attributes' in inputs:
        return inputs['attributes']
    return _moved(sample_attributes(samples), device)


def _moved(value: Tensor | None, device: torch.device) -> Tensor | None:
    return None if value is None else value.to(device)
