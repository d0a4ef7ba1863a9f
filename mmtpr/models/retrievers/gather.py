"""Features of all processes, with gradient."""

from dataclasses import replace
from typing import Any

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor

from mmtpr.models.losses import RetrievalFeatures

_Tensors = list[Tensor] | tuple[Tensor, ...]


class _AllRows(torch.autograd.Function):
    """Rows of all processes; the gradient is that of the own rows.

    Every process computes the same loss of the same rows, so the gradient of
    its own rows is known without asking. Data parallel training averages over
    the W processes, each of which knows only its own part of the sum: hence
    the factor W.
    """

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        return torch.cat(all_gather(rows.contiguous()))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        start = get_rank() * ctx.rows
        return grad[start : start + ctx.rows] * get_world_size()


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Collect the rows of all W processes, with gradient.

    The processes must hold batches of equal size and compute the same loss of
    the result, whose gradients then are, after the average of
    ``DistributedDataParallel``, those of one process with the whole batch.

    Args:
        *tensors (Tensor): Features of shape (B, ...) and ids of shape (B, ),
            long.

    Returns:
        tuple[Tensor, ...]: The same of shape (W * B, ...), in the order of
        ranks, features in float32. With one process, the tensors themselves.
    """
    if get_world_size() == 1:
        return tensors
    # One exchange for all features and one for all ids: each has a latency.
    features = [t for t in tensors if t.is_floating_point()]
    ids: _Tensors = [t for t in tensors if not t.is_floating_point()]
    if features:
        shapes = [t.shape[1:] for t in features]
        flat = [t.flatten(1).float() for t in features]  # (B, D1), ...
        rows = _AllRows.apply(torch.cat(flat, dim=1))  # (W * B, D1 + ...)
        parts = rows.split([s.numel() for s in shapes], dim=1)
        features = [
            p.unflatten(1, s) for p, s in zip(parts, shapes, strict=True)
        ]
    if ids:
        ids = torch.cat(all_gather(torch.stack(ids, dim=1))).unbind(dim=1)
    floats, integers = iter(features), iter(ids)
    return tuple(
        next(floats if t.is_floating_point() else integers) for t in tensors
    )


def gather_features(features: RetrievalFeatures) -> RetrievalFeatures:
    """Collect the pairs of all processes, see :func:`gather_rows`.

    Args:
        features (RetrievalFeatures): Of this process, B pairs.

    Returns:
        RetrievalFeatures: W * B pairs in the order of ranks, features in
        float32. Tokens stay behind.
    """
    if get_world_size() == 1:
        return features
    optional = {
        name: value
        for name in ('image_ids', 'label_hat')
        if (value := getattr(features, name)) is not None
    }
    image, text, pids, *gathered = gather_rows(
        features.image_feats,
        features.text_feats,
        features.pids,
        *optional.values(),
    )
    known: dict[str, Any] = dict(zip(optional, gathered, strict=True))
    return replace(
        features,
        **known,
        image_feats=image,
        text_feats=text,
        pids=pids,
        pid_range=None,
        image_tokens=None,
        mlm_text_tokens=None,
        mlm_labels=None,
        mlm_index=None,
        tokens=None,
    )
