"""Batches of composed retrieval: checks and gathering."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from mmtpr.models.necks import QueryFeatures, TargetFeatures
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample

from .gather import gather_rows


def check_parts(head, losses, allowed: Sequence[str]) -> None:
    """Check that a retriever is told one training, or none.

    Args:
        head (dict, optional): Losses on triplets.
        losses (dict, optional): Losses on pairs, by name.
        allowed (Sequence[str]): Names of the latter.

    Raises:
        ValueError: If both are given, or a name is unknown.
    """
    if head is not None and losses:
        raise ValueError(
            'A head trains on triplets, losses train on pairs: give one of '
            'them.'
        )
    unknown = [name for name in losses or {} if name not in allowed]
    if unknown:
        raise ValueError(
            f'losses of a composed retriever are {", ".join(allowed)}, got '
            f'{", ".join(unknown)}.'
        )


def build_head(head: dict | None, target: nn.Module) -> nn.Module | None:
    """Build the losses on triplets, fitted to what targets are.

    Args:
        head (dict, optional): Config of the head.
        target (nn.Module): Maker of targets, with ``raw_dim`` and, where it
            is known, ``num_tokens``.

    Returns:
        nn.Module | None: The head.

    Raises:
        ValueError: If targets have too few tokens for it.
    """
    if head is None:
        return None
    built = MODELS.build({'raw_dim': target.raw_dim, **head})
    if hasattr(built, 'check_tokens'):
        built.check_tokens(getattr(target, 'num_tokens', None))
    return built


def check_trains(head, losses) -> None:
    """Check that there is something to train by.

    Args:
        head (nn.Module, optional): Losses on triplets.
        losses (nn.ModuleDict): Losses on pairs, by name.

    Raises:
        ValueError: If there is neither.
    """
    if head is None and not losses:
        raise ValueError(
            'Training needs a head for triplets, head=dict(type='
            "'mmtpr.FAFAHead'), or losses for pairs, losses=dict(text="
            "dict(type='mmtpr.SDMLoss'))."
        )


def check_present(
    inputs: dict[str, Tensor], names: Sequence[str], number: int
) -> None:
    """Check that every training sample has what it needs.

    Args:
        inputs (dict): Output of the data preprocessor.
        names (Sequence[str]): What is needed.
        number (int): Samples in the batch.

    Raises:
        ValueError: Naming what is missing.
    """
    for name in names:
        found = len(inputs.get(name, ()))
        if found != number:
            raise ValueError(
                f'Training takes {", ".join(names)} in every sample, but of '
                f'the {number} samples of this batch {found} have {name}. '
                'See docs/user_guides/composed.md for the pipeline.'
            )


def needed_inputs(inputs, head, losses) -> list[tuple[str, ...]]:
    """Tell what every training sample must have.

    Args:
        inputs (dict): Output of the data preprocessor, maybe with cached
            features, which will do as well.
        head (nn.Module, optional): Losses on triplets.
        losses (nn.ModuleDict): Losses on pairs, by name.

    Returns:
        list[tuple[str, ...]]: Names for :func:`check_present`.
    """
    if head is not None:
        return [('reference', 'image', 'tokens')]
    needed: list[tuple[str, ...]] = []
    if 'image_feat' not in inputs:
        needed.append(('image',))
    if 'text' in losses and 'text_feat' not in inputs:
        needed.append(('tokens',))
    return needed


def used_tokens(inputs: dict) -> dict[str, Tensor]:
    """Tell by a size how many columns of the token ids are in use.

    Args:
        inputs (dict): Output of the data preprocessor.

    Returns:
        dict[str, Tensor]: ``tokens_used`` (``tokens_length``, 0), where it is
        known. To ``torch.compile`` a size may vary, a number is constant.
    """
    if 'tokens_length' not in inputs:
        return {}
    size = inputs['tokens_length'], 0
    return dict(tokens_used=inputs['tokens'].new_empty(size))


def check_several_ids(
    ids: Tensor, pid_range: tuple[int, int] | None = None
) -> None:
    """Check that there is something to contrast.

    Args:
        ids (Tensor): Ids of the batch, of all processes that share it, (B, ).
        pid_range (tuple[int, int], optional): The smallest and the largest of
            this process. Where they differ, the device is not asked.

    Raises:
        ValueError: If all are equal.
    """
    if pid_range is not None and pid_range[0] != pid_range[1]:
        return
    if bool((ids == ids[0]).all()):
        raise ValueError(
            f'All {len(ids)} samples of this batch have the id {int(ids[0])}:'
            ' there is no pair of different ids to tell apart. Use larger '
            'batches with drop_last=True, or limit the samples of an id with '
            "batch_sampler=dict(type='mmtpr.GroupBatchSampler')."
        )


def count_cut(
    samples: Sequence[RetrievalDataSample], cut: Tensor | None = None
) -> dict[str, Tensor]:
    """Count the captions of a batch that were too long.

    Args:
        samples (Sequence[RetrievalDataSample]): With ``caption_cut``, as the
            tokenizing transforms find it.
        cut (Tensor, optional): Whether a caption was cut beside a template,
            (B, ) bool, which says more.

    Returns:
        dict[str, Tensor]: ``cut_captions``, a scalar to be logged; empty
        where nobody knows.
    """
    if cut is None:
        flags = [sample.get('caption_cut') for sample in samples]
        if None in flags:
            return {}
        cut = torch.tensor(flags)
    return dict(cut_captions=cut.float().sum())


def gather_triplets(
    query: QueryFeatures, target: TargetFeatures, ids: Tensor
) -> tuple[QueryFeatures, TargetFeatures, Tensor]:
    """Collect the triplets of all processes, with gradient.

    Args:
        query (QueryFeatures): Of this process, B queries.
        target (TargetFeatures): Their targets.
        ids (Tensor): Their ids, (B, ).

    Returns:
        tuple[QueryFeatures, TargetFeatures, Tensor]: Of all W processes,
        W * B each. The processes must hold batches of equal size.
    """
    if get_world_size() == 1:
        return query, target, ids
    feats, raw, tokens, target_raw, ids = gather_rows(
        query.feats, query.raw, target.tokens, target.raw, ids
    )
    return (
        replace(query, feats=feats, raw=raw),
        replace(target, tokens=tokens, raw=target_raw, pooled=None),
        ids,
    )
