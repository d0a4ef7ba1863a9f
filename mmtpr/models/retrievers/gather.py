"""Features of all processes, with gradient."""

from dataclasses import replace

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor

from mmtpr.models.losses import RetrievalFeatures


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


def gather_features(features: RetrievalFeatures) -> RetrievalFeatures:
    """Collect the pairs of all processes.

    The processes must hold batches of equal size and compute the same loss of
    the result, whose gradients then are, after the average of
    ``DistributedDataParallel``, those of one process with the whole batch.

    Args:
        features (RetrievalFeatures): Of this process, B pairs.

    Returns:
        RetrievalFeatures: W * B pairs in the order of ranks, features in
        float32. Tokens for MLM stay behind.
    """
    if get_world_size() == 1:
        return features
    width = features.image_feats.shape[1]
    pairs = torch.cat([features.image_feats, features.text_feats], dim=1)
    pairs = _AllRows.apply(pairs.float())
    ids = [features.pids]
    if features.image_ids is not None:
        ids.append(features.image_ids)
    ids = torch.cat(all_gather(torch.stack(ids, dim=1)))
    return replace(
        features,
        image_feats=pairs[:, :width],
        text_feats=pairs[:, width:],
        pids=ids[:, 0],
        image_ids=None if features.image_ids is None else ids[:, 1],
        pid_range=None,
        image_tokens=None,
        mlm_text_tokens=None,
        mlm_labels=None,
    )
