"""Relevance of a caption to an image, and its rank among a bank's captions.

An image is T >= 1 tokens, a caption one vector. Relevance is the largest dot
product of the caption with a token. The rank of a pair is 1 plus the number
of bank captions at least as relevant to the image as the pair's own caption:
ties count against the pair.

Source: Filtering-WoRA, https://arxiv.org/abs/2404.10292.
"""

import torch
from torch import Tensor

from mmtpr.utils.precision import exact_matmul

from .screening import (
    Bank,
    count_at_least,
    first_level,
    pair_scores,
)

_BLOCK_BYTES = {'cpu': 2**24, 'other': 2**28}


def relevance_score(image_tokens: Tensor, captions: Tensor) -> Tensor:
    """Relevance of each image to its own caption.

    Accumulated in double precision, so that the value does not depend on how
    many pairs are scored together.

    Args:
        image_tokens (Tensor): Normalised image tokens, (N, T, D).
        captions (Tensor): Normalised caption embeddings, (N, D).

    Returns:
        Tensor: Largest dot product over the tokens, (N, ), in float32 or in
        the dtype of ``image_tokens`` if that is wider.

    Raises:
        ValueError: On mismatched shapes or values that are not finite.
    """
    _check_pairs(image_tokens, captions)
    dtype = torch.promote_types(image_tokens.dtype, torch.float32)
    return pair_scores(image_tokens, captions).to(dtype)


def relevance_rank(
    image_tokens: Tensor,
    captions: Tensor,
    bank: Tensor,
    *,
    own_index: Tensor | None = None,
    block_bytes: int | None = None,
) -> Tensor:
    """Rank each pair's own caption among the captions of a bank.

    Blocks of the relevance matrix are computed in float32. The entries too
    close to the pair's own relevance to call are decided again in double
    precision, where a difference of rounding size counts as a tie. So the
    rank depends neither on ``block_bytes`` nor on the precision, and a copy
    of the own caption in the bank always ties.

    Args:
        image_tokens (Tensor): Normalised image tokens, (N, T, D).
        captions (Tensor): Normalised embeddings of the own captions, (N, D).
        bank (Tensor): Normalised embeddings of the bank, (M, D).
        own_index (Tensor, optional): Place of the own caption in the bank,
            (N, ), long, -1 where it is not there; that entry is left out.
            Defaults to None, which leaves nothing out.
        block_bytes (int, optional): Size of the largest intermediate tensor.
            Peak extra memory is a few times this. Defaults to None: 16 MiB
            on a CPU, 256 MiB elsewhere.

    Returns:
        Tensor: Ranks, (N, ), long. 1 is the best, M + 1 the worst.

    Raises:
        ValueError: On mismatched shapes, an index outside the bank, or
            values that are not finite.

    Examples:
        >>> tokens = torch.eye(3)[:, None]  # three images of one token
        >>> bank = torch.eye(3)
        >>> relevance_rank(tokens, torch.eye(3), bank).tolist()
        [2, 2, 2]
        >>> relevance_rank(
        ...     tokens, torch.eye(3), bank, own_index=torch.arange(3)
        ... ).tolist()
        [1, 1, 1]
    """
    _check_pairs(image_tokens, captions)
    _check_bank(bank, image_tokens.size(-1))
    device = image_tokens.device
    own_index = _check_own_index(own_index, len(captions), len(bank))
    own_index = own_index.to(device)
    ranks = torch.ones(len(captions), dtype=torch.long, device=device)
    if len(captions) == 0 or len(bank) == 0:
        return ranks
    if block_bytes is None:
        block_bytes = _BLOCK_BYTES.get(device.type, _BLOCK_BYTES['other'])
    rows, columns = _block_shape(image_tokens.size(1), len(bank), block_bytes)
    dtype = torch.promote_types(image_tokens.dtype, torch.float32)
    level = first_level(image_tokens)
    own = pair_scores(image_tokens, captions)
    with exact_matmul(device):
        for first in range(0, len(bank), columns):
            part = Bank(bank[first : first + columns].to(device, dtype))
            skip = own_index - first
            skip = skip.masked_fill(skip >= len(part), -1)
            for start in range(0, len(ranks), rows):
                block = slice(start, start + rows)
                tokens = image_tokens[block].to(dtype)
                counts, level = count_at_least(
                    tokens, own[block], part, skip[block], level
                )
                ranks[block] += counts
    return ranks


def _block_shape(tokens: int, bank: int, block_bytes: int) -> tuple[int, int]:
    """Images and bank captions of a block with 4-byte entries."""
    entries = max(1, block_bytes // 4)
    columns = min(bank, max(1, entries // tokens))
    return max(1, entries // (tokens * columns)), columns


def _check_pairs(image_tokens: Tensor, captions: Tensor) -> None:
    if image_tokens.dim() != 3 or captions.dim() != 2:
        raise ValueError(
            'image_tokens must have the shape (N, T, D) and captions (N, D), '
            f'got {tuple(image_tokens.shape)} and {tuple(captions.shape)}.'
        )
    n, t, d = image_tokens.shape
    if captions.shape != (n, d) or t == 0:
        raise ValueError(
            f'image_tokens {tuple(image_tokens.shape)} and captions '
            f'{tuple(captions.shape)} do not belong together.'
        )
    _check_finite(image_tokens, 'image_tokens')
    _check_finite(captions, 'captions')


def _check_bank(bank: Tensor, dim: int) -> None:
    if bank.dim() != 2 or bank.size(1) != dim:
        raise ValueError(
            f'The bank must have the shape (M, {dim}), got '
            f'{tuple(bank.shape)}.'
        )
    _check_finite(bank, 'bank')


def _check_own_index(own_index: Tensor | None, n: int, m: int) -> Tensor:
    if own_index is None:
        return torch.full((n,), -1)
    own_index = torch.as_tensor(own_index)
    if own_index.shape != (n,) or own_index.is_floating_point():
        raise ValueError(
            f'own_index must hold {n} integers, got '
            f'{tuple(own_index.shape)} of {own_index.dtype}.'
        )
    if n and (own_index.min() < -1 or own_index.max() >= m):
        raise ValueError(
            f'own_index must lie between -1 and {m - 1}, got '
            f'{int(own_index.min())} to {int(own_index.max())}.'
        )
    return own_index


def _check_finite(values: Tensor, name: str) -> None:
    for part in values.split(max(1, 2**22 // (values[:1].numel() or 1))):
        if not torch.isfinite(part).all():
            raise ValueError(
                f'{name} hold values that are not finite. Check the scorer: '
                'wrong weights, or an overflow in half precision.'
            )
