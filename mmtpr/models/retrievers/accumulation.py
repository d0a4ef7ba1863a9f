"""One batch encoded in parts, contrasted as a whole.

What an encoder keeps for the backward pass grows with the batch; what losses
over pairs need of it are a few vectors. So each part is encoded, and nothing
but these is kept; the losses are taken of all together; and the backward pass
encodes each part once more, one after the other. The gradients are those of
the whole batch, as with ``accum_freq`` of open_clip, and all of it happens in
one forward and one backward pass: loops, optimizer wrappers, mixed precision
and distributed training know nothing of it.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmtpr.models.losses import RetrievalFeatures, RetrievalLoss
from mmtpr.utils.warn import warn


@dataclass
class View:
    """Features of a batch, and the losses to take of them.

    Attributes:
        features (RetrievalFeatures): The features.
        losses (Mapping[str, RetrievalLoss]): The losses by name.
        suffix (str): Put behind the names of the losses.
        weight (float): Factor of the losses.
    """

    features: RetrievalFeatures
    losses: Mapping[str, RetrievalLoss]
    suffix: str = ''
    weight: float = 1.0

    def of(self, across: bool, weight: float) -> 'View':
        """Keep the losses over all pairs of a batch, or the others.

        Args:
            across (bool): Which.
            weight (float): Their factor.

        Returns:
            View: With the same features.
        """
        losses = {
            name: loss
            for name, loss in self.losses.items()
            if loss.across_processes == across
        }
        return replace(self, losses=losses, weight=weight)


#: Encodes rows of a batch, given their ids.
_ViewsOf = Callable[[Mapping[str, Any], Any], list[View]]
#: Computes losses of features.
_LossesOf = Callable[[Any, Mapping[str, RetrievalLoss]], dict[str, Tensor]]
_Pair = tuple[Tensor, Tensor]


def check_accumulate(accumulate: int, encoder: nn.Module) -> int:
    """Check the number of parts a batch is encoded in.

    Args:
        accumulate (int): The number.
        encoder (nn.Module): What encodes.

    Returns:
        int: The same.

    Raises:
        ValueError: If it is no positive integer.
    """
    if type(accumulate) is not int or accumulate < 1:
        raise ValueError(
            f'accumulate must be at least 1, got {accumulate!r}: the number '
            'of parts in which a batch is encoded.'
        )
    norms = sum(isinstance(m, _BatchNorm) for m in encoder.modules())
    if accumulate > 1 and norms:
        warn(
            f'accumulate={accumulate} with {norms} batch norms in encoder or '
            'necks: each sees one part at a time, and twice, so that the '
            'result is not that of the whole batch. Freeze them, or take '
            'parts without.'
        )
    return accumulate


def all_losses(
    views: Sequence[View], losses_of: _LossesOf
) -> dict[str, Tensor]:
    """Compute the losses of all views.

    Args:
        views (Sequence[View]): The views.
        losses_of (Callable): Computes losses of features.

    Returns:
        dict[str, Tensor]: ``loss_<name><suffix>`` -> scalar.
    """
    return {
        key + view.suffix: view.weight * value
        for view in views
        for key, value in losses_of(view.features, view.losses).items()
    }


def accumulated_losses(
    views_of: _ViewsOf,
    losses_of: _LossesOf,
    inputs: Mapping[str, Any],
    facts: RetrievalFeatures,
    parts: int,
    preprocessor: Any = None,
) -> dict[str, Tensor]:
    """Compute the losses of a batch that is encoded in parts.

    Losses over all pairs are those of the whole batch, gradients included.
    Others are taken of each part and averaged: negatives that a cross encoder
    judges are drawn within a part, and the mean over masked words is the mean
    of those of the parts.

    Args:
        views_of (Callable): Encodes rows.
        losses_of (Callable): Computes losses of features.
        inputs (Mapping): Output of the data preprocessor, B rows.
        facts (RetrievalFeatures): Ids and scale of the batch.
        parts (int): Number of parts, of B / parts rows each; 1 encodes the
            batch once, as ever.
        preprocessor (nn.Module, optional): Has left images as bytes, and
            normalises those of a part. Defaults to None.

    Returns:
        dict[str, Tensor]: As of :func:`all_losses`.
    """
    if parts == 1:
        return all_losses(views_of(inputs, facts), losses_of)
    number = len(facts.pids)
    bounds = [number * i // parts for i in range(parts + 1)]
    slices = [slice(*ends) for ends in pairwise(bounds)]
    wholes: list[View] = []
    counts = inputs.get('mlm_counts')

    def encode(inputs: dict[str, Any], rows: slice) -> tuple[list, dict]:
        inputs = _normalised(inputs, preprocessor)
        views = views_of(inputs, _rows_of_facts(facts, rows, counts))
        share = (rows.stop - rows.start) / number
        alone = [v.of(False, share * v.weight) for v in views]
        # Without the features of this part, which would be held for good.
        wholes[:] = [
            replace(v.of(True, v.weight), features=facts) for v in views
        ]
        found = [v.features for v in views]
        feats = [(f.image_feats, f.text_feats) for f in found]
        return feats, all_losses(alone, losses_of)

    encoded = [
        _recomputed(encode, _rows_of_inputs(inputs, rows, number), rows)
        for rows in slices
        if rows.start < rows.stop
    ]
    for i, view in enumerate(wholes):
        images, texts = zip(*(feats[i] for feats, _ in encoded), strict=True)
        view.features = replace(
            facts, image_feats=torch.cat(images), text_feats=torch.cat(texts)
        )  # (B, D)
    losses = all_losses(wholes, losses_of)
    for name in encoded[0][1]:
        losses[name] = torch.stack([own[name] for _, own in encoded]).sum()
    return losses


def _rows_of_facts(
    facts: Any, rows: slice, counts: Sequence[int] | None
) -> Any:
    """Facts of some rows; the scale, one number, is that of all.

    Hidden words lie one after the other: their number in each caption tells,
    without asking the device, which are those of these rows.
    """
    values = {f.name: getattr(facts, f.name) for f in fields(facts)}
    index = values.pop('mlm_index')
    parts = {
        name: value[rows]
        for name, value in values.items()
        if isinstance(value, Tensor) and name != 'scale'
    }
    if index is not None and counts is not None:
        first, end = sum(counts[: rows.start]), sum(counts[: rows.stop])
        index = index[first:end] - rows.start * parts['mlm_labels'].shape[1]
    else:
        index = None  # each part asks for its own
    return replace(facts, **parts, mlm_index=index)


def _rows_of_inputs(
    inputs: Mapping[str, Any], rows: slice, number: int
) -> dict[str, Any]:
    """Some rows of a batch in which every sample has every field."""
    found = {
        name: value
        for name, value in inputs.items()
        if isinstance(value, Tensor) and not name.endswith('_index')
    }
    for name, value in found.items():
        if len(value) != number:
            raise ValueError(
                f'accumulate > 1 needs {name} in every sample of a batch, '
                f'but of {number} only {len(value)} have it.'
            )
    return {name: value[rows] for name, value in found.items()}


def _normalised(inputs: dict[str, Any], preprocessor: Any) -> dict[str, Any]:
    """Normalise what has come as bytes: a float is four times as large."""
    normalise = getattr(preprocessor, 'normalise', None)
    if normalise is None:
        return inputs
    return {
        name: normalise(value) if value.dtype == torch.uint8 else value
        for name, value in inputs.items()
    }


def _recomputed(encode: Callable, inputs: dict[str, Any], rows: slice) -> Any:
    """Call a function now, and again in the backward pass, with equal draws.

    Torch replays its own random numbers; those of Python and NumPy are left.
    """
    if not torch.is_grad_enabled():
        return encode(inputs, rows)
    states: list[tuple] = []

    def replayed(inputs: dict[str, Any]) -> Any:
        if states:
            with _drawing_from(*states[0]):
                return encode(inputs, rows)
        states.append((random.getstate(), np.random.get_state()))
        return encode(inputs, rows)

    return checkpoint(replayed, inputs, use_reentrant=False)


@contextmanager
def _drawing_from(python: Any, numpy: Any) -> Iterator[None]:
    before = random.getstate(), np.random.get_state()
    random.setstate(python)
    np.random.set_state(numpy)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
