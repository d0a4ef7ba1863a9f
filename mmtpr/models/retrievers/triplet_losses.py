"""Losses of triplets: composed queries against the tokens of their targets."""

from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

from mmtpr.models.losses.composition_ranking import swap_partners
from mmtpr.models.necks import QueryFeatures

from .composed_batch import check_several_ids, gather_triplets
from .gather import gather_rows


def triplet_losses(
    model: Any, inputs: dict[str, Any]
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Compute what the head of a composed retriever asks for.

    Args:
        model (ComposedPersonRetriever): With ``head``.
        inputs (dict): Output of its ``loss_inputs``, B triplets.

    Returns:
        tuple[dict[str, Tensor], Tensor | None]: Losses by name; whether a
        caption was cut, (B, ) bool, where the query tells.

    Raises:
        ValueError: If all ids of all processes are equal.
    """
    ids, encoder = inputs['pid'], model.encoder
    own = model.make_query(inputs['reference'], inputs['tokens'], inputs)
    query, target = own, model.target(encoder, inputs['image'])
    if model.gather:
        query, target, ids = gather_triplets(query, target, ids)
        if not inputs['several']:
            check_several_ids(ids)
    more = {}
    if getattr(model.head, 'cpl_weight', 0):
        more['mixed'] = _mixed_compositions(model, inputs, own, ids)
    losses = model.head(
        query.feats,
        target.tokens,
        ids,
        query.raw,
        target.raw,
        getattr(encoder, 'temperature', None),
        **more,
    )
    return losses, own.cut


def _mixed_compositions(
    model: Any, inputs: dict[str, Any], query: QueryFeatures, ids: Tensor
) -> tuple[Tensor, Tensor]:
    """Compose images with the sentences of other triplets.

    With ``gather`` partners are chosen among the triplets of all W
    processes. Sentences, which have no gradient, travel to the images, so
    that the mixed compositions are those of one process with the whole batch.

    Returns:
        tuple[Tensor, Tensor]: Vectors (K, W * B, D), and whose sentences
        they are made with, (K, W * B).
    """
    partners = swap_partners(ids, model.head.cpl_partners)  # (K, W * B)
    images, tokens = inputs['reference'], inputs['tokens']
    length, size = None, len(tokens)
    rows = slice(None)
    if len(ids) == size:  # of this process, whose captions' length is known
        if 'tokens_used' in inputs:
            length = inputs['tokens_used'].shape[0]
    else:
        (tokens,) = gather_rows(tokens)  # (W * B, L)
        rows = slice(get_rank() * size, (get_rank() + 1) * size)
    mixed = torch.stack(
        [
            model.query.mix(model.encoder, images, query, tokens[some], length)
            for some in partners[:, rows]
        ],
        dim=1,
    )  # (B, K, D)
    if model.gather and get_world_size() > 1:
        (mixed,) = gather_rows(mixed)  # (W * B, K, D)
    return mixed.transpose(0, 1), partners
