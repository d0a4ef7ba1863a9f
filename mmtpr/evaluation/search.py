"""The best items of a gallery for a few queries, in bounded memory."""

import torch
from torch import Tensor

from .equal_items import EqualItems
from .ranking.matches import Pairs
from .similarity import similarity_columns


@torch.no_grad()
def search(
    query: Tensor,
    tokens: Tensor,
    num: int,
    topk_tokens: int = 1,
    equal: EqualItems | None = None,
    hidden: Pairs | None = None,
    narrow: bool = False,
) -> tuple[Tensor, Tensor]:
    """Find the items with the largest similarity to each query.

    Args:
        query (Tensor): Of shape (Q, D), floating.
        tokens (Tensor): Of shape (N, T, D) or (N, D), floating.
        num (int): Items K to find, cut to N.
        topk_tokens (int): See :func:`topk_similarity`.
        equal (tuple[Tensor, Tensor], optional): Likewise.
        hidden (tuple[Tensor, Tensor], optional): Query and gallery indices of
            pairs that get the score -inf. Defaults to None.
        narrow (bool): See :func:`topk_similarity`.

    Returns:
        tuple[Tensor, Tensor]: Scores and indices, both (Q, K), best first; of
        equal scores the item that stands first in the gallery.

    Raises:
        ValueError: If shapes do not fit or k is not in 1..T.
    """
    best = query.new_empty(len(query), 0, dtype=torch.float32)
    index = torch.empty(len(query), 0, dtype=torch.long, device=query.device)
    for start, scores in similarity_columns(
        query, tokens, topk_tokens, equal, narrow
    ):
        if hidden is not None:
            rows, cols = hidden
            own = (cols >= start) & (cols < start + scores.shape[1])
            scores[rows[own], cols[own] - start] = -torch.inf
        value, place = head(scores, num)
        # What came before stands before.
        value = torch.cat([best, value], dim=1)
        place = torch.cat([index, place + start], dim=1)
        best, order = value.sort(dim=1, descending=True, stable=True)
        best, index = best[:, :num], place.gather(1, order)[:, :num]
        del scores
    return best, index


def head(scores: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Find the largest of each row, of equal ones the first.

    Args:
        scores (Tensor): Of shape (Q, N), floating.
        num (int): How many K, cut to N.

    Returns:
        tuple[Tensor, Tensor]: Values and places, both (Q, K), largest first.
    """
    num = min(num, scores.shape[1])
    value, place = scores.topk(min(num + 1, scores.shape[1]), dim=1)
    # Where more items than there is room for have the last score, torch takes
    # any of them.
    crowded = (value[:, num:] == value[:, num - 1 : num]).any(1)  # (Q, )
    value, place = value[:, :num], place[:, :num]
    place, order = place.sort(dim=1)
    value = value.gather(1, order)
    value, order = value.sort(dim=1, descending=True, stable=True)
    place = place.gather(1, order)
    for row in crowded.nonzero()[:, 0].tolist():
        some = (scores[row] >= value[row, -1]).nonzero()[:, 0]
        own, order = scores[row, some].sort(
            dim=0, descending=True, stable=True
        )
        value[row], place[row] = own[:num], some[order[:num]]
    return value, place
