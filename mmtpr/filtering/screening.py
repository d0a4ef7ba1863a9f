"""Counting relevances at least as large as a bound, exactly and fast.

A block of relevances is computed in float32 first. Its rounding
error is bounded, so most entries are already decided; the rest are computed
again, one by one, in double precision.
"""

import torch
from torch import Tensor

#: Precisions from the fastest to the one that decides.
LEVELS = (torch.float32, torch.float64)
_LAST = len(LEVELS) - 1
# Above this share of open entries the next precision is cheaper.
_OPEN_SHARE = 0.2
# Small enough for a cache.
_CHUNK_BYTES = 2**21


def first_level(tokens: Tensor) -> int:
    """Choose the precision to begin with.

    Args:
        tokens (Tensor): Image tokens, (N, T, D).

    Returns:
        int: Index into :data:`LEVELS`.
    """
    return _LAST if tokens.dtype == torch.float64 else 0


def pair_scores(tokens: Tensor, captions: Tensor) -> Tensor:
    """Relevance pair by pair in double precision.

    Args:
        tokens (Tensor): Image tokens, (N, T, D).
        captions (Tensor): One caption an image, (N, D).

    Returns:
        Tensor: Largest dot product over the tokens, (N, ), float64.
    """
    step = max(1, _CHUNK_BYTES // (8 * tokens[:1].numel() or 1))
    parts = [
        torch.bmm(t.double(), c.double()[:, :, None])[:, :, 0].amax(1)
        for t, c in zip(tokens.split(step), captions.split(step), strict=True)
    ]
    return torch.cat(parts)


class Bank:
    """Captions of a bank in both precisions.

    Args:
        captions (Tensor): Embeddings, (m, D), in float32 or float64.
    """

    def __init__(self, captions: Tensor) -> None:
        self.captions = captions
        self.length = _longest(captions)
        self._copies: dict[torch.dtype, Tensor] = {}

    def __len__(self) -> int:
        return len(self.captions)

    def copy(self, dtype: torch.dtype) -> Tensor:
        """Give the captions in a precision.

        Args:
            dtype (torch.dtype): The precision, not below the captions' own.

        Returns:
            Tensor: Embeddings, (m, D).
        """
        if dtype not in self._copies:
            self._copies[dtype] = self.captions.to(dtype)
        return self._copies[dtype]


def count_at_least(
    tokens: Tensor, own: Tensor, bank: Bank, skip: Tensor, level: int
) -> tuple[Tensor, int]:
    """Count the bank captions at least as relevant as a bound.

    Args:
        tokens (Tensor): Image tokens, (n, T, D), of the bank's dtype.
        own (Tensor): Bound an image, (n, ), float64.
        bank (Bank): Captions, (m, D).
        skip (Tensor): Caption left out an image, (n, ), long, negative where
            none is.
        level (int): Precision to begin with, index into :data:`LEVELS`.

    Returns:
        tuple[Tensor, int]: Counts, (n, ), long, and the precision that was
        worth beginning with.
    """
    # Tokens first: the maximum over them then runs along whole rows.
    tokens = tokens.transpose(0, 1).contiguous()  # (T, n, D)
    while True:
        scores, margin = _screen(tokens, own, bank, LEVELS[level])
        # (T, n, m), (n, )
        gap = scores.amax(0).to(margin.dtype)  # (n, m)
        rows = (skip >= 0).nonzero()[:, 0]
        gap[rows, skip[rows]] = float('-inf')
        gap -= own[:, None].to(gap.dtype)
        if level == _LAST:
            return (gap >= -margin[:, None]).sum(1), level
        # Beyond its error a gap is decided; only those within it stay open.
        hits = gap > margin[:, None]  # (n, m)
        row, column = ((gap >= -margin[:, None]) ^ hits).nonzero(as_tuple=True)
        if len(row) <= _OPEN_SHARE * hits.numel():
            break
        level += 1
    # Of an open entry only the tokens near its bound matter: the others are
    # below it for certain, so that few are computed again.
    limit = (own - margin)[row].to(scores.dtype)  # (k, )
    # gather is three times as fast as scores[:, row, column].
    place = (row * scores.size(2) + column).expand(len(scores), -1)  # (T, k)
    likely = scores.flatten(1).gather(1, place) >= limit  # (T, k)
    token, entry = likely.nonzero(as_tuple=True)  # (j, ), (j, )
    late = _decide(tokens, own, bank, row, column, token, entry)  # (k, )
    return hits.sum(1).index_add_(0, row, late.long()), level


def _screen(
    tokens: Tensor, own: Tensor, bank: Bank, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Dot products of tokens, (T, n, D), and captions in a precision.

    Returns:
        tuple[Tensor, Tensor]: Products, (T, n, m), and a bound on the error
        of their difference to ``own``, (n, ), in that precision.
    """
    flat = tokens.to(dtype).flatten(0, 1)  # (T * n, D)
    scores = (flat @ bank.copy(dtype).T).view(*tokens.shape[:2], -1)
    bound = _rounding(tokens, bank, dtype)
    # Storing the product in this precision costs a little more.
    bound = bound + torch.finfo(dtype).eps * (own.abs() + bound)
    return scores, bound.to(dtype)


def _decide(
    tokens: Tensor,
    own: Tensor,
    bank: Bank,
    row: Tensor,
    column: Tensor,
    token: Tensor,
    entry: Tensor,
) -> Tensor:
    """Decide single entries, in float32 and at last in float64.

    Args:
        tokens (Tensor): Image tokens, (T, n, D).
        own (Tensor): Bound an image, (n, ), float64.
        bank (Bank): Captions, (m, D).
        row (Tensor): Image of each entry, (k, ).
        column (Tensor): Caption of each entry, (k, ).
        token (Tensor): Tokens that may reach the bound, (j, ).
        entry (Tensor): Entry of each of these tokens, (j, ).

    Returns:
        Tensor: Whether each entry reaches the bound, (k, ), bool.
    """
    reached = torch.zeros(len(row), dtype=torch.bool, device=row.device)
    flat = tokens.flatten(0, 1)
    # Place of each token in there; index_select copies whole rows.
    token = token * tokens.size(1) + row[entry]
    open_ = torch.arange(len(entry), device=row.device)
    for dtype in (torch.float32, torch.float64):
        margin = _rounding(tokens, bank, dtype)
        left = []
        for part in open_.split(max(1, _CHUNK_BYTES // (4 * tokens.size(2)))):
            e = entry[part]
            gap = flat.index_select(0, token[part]).to(dtype)
            gap.mul_(bank.captions.index_select(0, column[e]))
            gap = gap.sum(1) - own[row[e]]
            last = dtype == torch.float64
            reached[e[gap >= (-margin if last else margin)]] = True
            left.append(part[gap.abs() < margin])
        open_ = torch.cat(left) if left else open_
    return reached


def _rounding(tokens: Tensor, bank: Bank, dtype: torch.dtype) -> Tensor:
    """Bound on the error of a difference of two accumulated products."""
    scale = _longest(tokens) * bank.length
    return 2 * tokens.size(-1) * torch.finfo(dtype).eps * scale


def _longest(vectors: Tensor) -> Tensor:
    """Largest Euclidean length, a scalar in double precision."""
    return vectors.norm(dim=-1).max().double()
