"""Ranking loss of composition: true pairs of image and sentence above mixed.

A composed query is one vector made of a reference image and a sentence. In a
batch of triplets, image i with the sentence of triplet j is a composition that
leads to neither target, however like each of its halves is to one. Sorting the
true composition above such mixed ones teaches that both halves count.
"""

import torch
from torch import Tensor

from mmtpr.utils.precision import full_precision

from .fine_grained import check_topk_tokens
from .functional import upcast


def swap_partners(ids: Tensor, number: int = 1) -> Tensor:
    """Choose whose sentence each image of a batch is composed with.

    Each of ``number`` choices is a permutation, so that B mixed compositions
    are a negative with another's sentence for every image and one with
    another's image for every sentence. Triplets are put in the order of their
    ids and moved on by about half the batch: no triplet then meets its own
    group unless that fills half of the batch or more. It depends on the ids
    alone, draws nothing, and never asks the device.

    Args:
        ids (Tensor): Group ids of shape (B, ), long.
        number (int): K, at most B - 1. Defaults to 1.

    Returns:
        Tensor: Indices of shape (K, B), long; row k is a permutation without
        a fixed point.

    Raises:
        ValueError: If ``number`` is not in 1..B - 1.
    """
    size = len(ids)
    if not 1 <= number < size:
        raise ValueError(
            f'cpl_partners={number} does not fit a batch of {size} triplets, '
            f'of all processes if gather: the image of each meets the '
            f'sentences of 1..{max(size - 1, 0)} others. Use larger batches '
            'with drop_last=True, or fewer partners.'
        )
    order = ids.argsort(stable=True)  # (B,)
    partners = ids.new_empty(number, size)  # (K, B)
    # Half of the batch first, then what is nearest to it: B/2, +1, -1, ...
    shifts = sorted(range(1, size), key=lambda s: (abs(s - size // 2), -s))
    for row, shift in zip(partners, shifts, strict=False):
        row[order] = order.roll(-shift)
    return partners


def composition_ranking_loss(
    query: Tensor,
    mixed: Tensor,
    partners: Tensor,
    tokens: Tensor,
    ids: Tensor,
    temperature: Tensor | float,
    topk_tokens: int = 1,
) -> Tensor:
    """Rank the true composition of each target above mixed ones.

    With s the similarity of :func:`fda_similarity`, q(i, j) the composition
    of image i and sentence j, t_i the target of triplet i and P(i) the
    partners of i, the loss of triplet i is::

        -log  exp(s(q(i, i), t_i) / temperature)  /
            ( exp(s(q(i, i), t_i) / temperature)
              + sum over j in P(i): exp(s(q(i, j), t_i) / temperature)
              + sum over j with i in P(j): exp(s(q(j, i), t_i) / temperature))

    that is, sentences of others with the own image and images of others with
    the own sentence. Compositions with a triplet of the same id are no
    negatives and left out. The mean is over triplets that have a negative.

    This follows the idea of CPL (openreview 13ZrkMn0kS): the true
    composition above those with swapped image or swapped text. The exact
    formula of that paper was not at hand; this softmax over a bounded number
    of partners is our own.

    Args:
        query (Tensor): True compositions, normalised, (B, D).
        mixed (Tensor): Normalised compositions of image i with the sentence
            of triplet ``partners[k, i]``, (K, B, D).
        partners (Tensor): From :func:`swap_partners`, (K, B).
        tokens (Tensor): Normalised tokens of the targets, (B, T, D).
        ids (Tensor): Group ids of shape (B, ).
        temperature (Tensor | float): Divides the similarities.
        topk_tokens (int): Tokens of a target that count. Defaults to 1.

    Returns:
        Tensor: Scalar; NaN if all ids are equal.

    Raises:
        ValueError: If shapes do not fit, ``topk_tokens`` is not in 1..T, or
            ids on the CPU are all equal.
    """
    _check_shapes(query, mixed, partners, tokens, ids)
    check_topk_tokens(topk_tokens, tokens.size(1))
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f'temperature must be > 0, got {temperature}.')
    # Elsewhere the look would make the device wait; who trains has looked.
    if ids.device.type == 'cpu' and bool((ids == ids[0]).all()):
        raise ValueError(
            f'All {len(ids)} triplets of the ranking loss of composition have '
            f'the id {int(ids[0])}, so none is a negative for another: a '
            'batch needs two ids at least.'
        )
    with full_precision(query.device):
        query, mixed, tokens = upcast(query), upcast(mixed), upcast(tokens)
        # Whose sentence is with whose image, seen from the sentence.
        owners = partners.argsort(dim=1)  # (K, B)
        of_sentence = torch.stack(
            [some[own] for some, own in zip(mixed, owners, strict=True)]
        )  # (K, B, D)
        every = torch.cat([query[None], mixed, of_sentence])  # (1 + 2K, B, D)
        cosines = torch.einsum('kbd,btd->kbt', every, tokens)
        best = cosines.topk(topk_tokens, dim=2, sorted=False).values
        logits = best.mean(dim=2) / temperature  # (1 + 2K, B)
        same = ids[torch.cat([partners, owners])] == ids  # (2K, B)
        same = torch.cat([torch.zeros_like(same[:1]), same])
        logits = logits.masked_fill(same, float('-inf'))
        losses = logits.logsumexp(dim=0) - logits[0]  # (B,)
        has = ~same[1:].all(dim=0)  # (B,)
        return (losses * has).sum() / has.sum()


def _check_shapes(query, mixed, partners, tokens, ids) -> None:
    size, dim = query.shape
    fits = (
        partners.dim() == 2
        and partners.size(1) == size
        and mixed.shape == (*partners.shape, dim)
        and tokens.dim() == 3
        and tokens.shape[::2] == (size, dim)
        and ids.shape == (size,)
    )
    if not fits:
        shapes = ', '.join(
            str(tuple(x.shape)) for x in (query, mixed, partners, tokens, ids)
        )
        raise ValueError(
            'The ranking loss of composition takes queries (B, D), mixed '
            'compositions (K, B, D), partners (K, B), tokens (B, T, D) and '
            f'ids (B, ), got {shapes}.'
        )
