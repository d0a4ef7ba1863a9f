"""Ranking by a matching score of the best candidates and the cosine.

A cross encoder gives each query's ``k`` best items by cosine a matching score
(ITM). The published rule (APTM, Filtering-WoRA) puts the two together as

    minmax(matching) + 0.002 * minmax(cosine)

where minmax maps the least score of the whole test to 0 and the greatest to 1,
and an item that is no candidate takes the least matching score of its query.
Candidates therefore stand before all others, and these are in the order of
their cosines.

The release splits queries over n processes, fills the rows of the others with
1000 and adds everything up at the end. With n > 1 the rule it evaluates is
another one, roughly ``matching / 1000 + n * 0.002 * minmax(cosine)``, so that
its numbers depend on n. :class:`Fusion` repeats that on request.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ranking.from_features import _pairs_of
from ..ranking.matches import Array, Pairs, to_ids
from ..ranking.ranking import Ranking, ranked_lists, ranks_of_positives
from ..similarity import similarity_blocks

#: What the release writes into rows that another process computes.
_OTHERS = 1000.0


@dataclass(frozen=True)
class Fusion:
    """Fusion of matching score and cosine into one score.

    Args:
        itm_weight (float): Factor of the normalised matching score. Defaults
            to 1.
        cosine_weight (float): Factor of the normalised cosine. Defaults to
            0.002.
        compat_world_size (int, optional): Compute what the release prints on
            so many GPUs: in float32, where many scores become equal, and with
            equal scores in the order of the gallery. Defaults to None: the
            rule above, in float64.

    Raises:
        ValueError: If a weight is negative or the number below 1.
    """

    itm_weight: float = 1.0
    cosine_weight: float = 0.002
    compat_world_size: int | None = None

    def __post_init__(self) -> None:
        for name in ('itm_weight', 'cosine_weight'):
            if getattr(self, name) < 0:
                raise ValueError(
                    f'{name} must not be negative, got {getattr(self, name)}.'
                )
        size = self.compat_world_size
        if size is not None and size < 1:
            raise ValueError(
                f'compat_world_size must be at least 1, got {size}.'
            )


@torch.no_grad()
def top_candidates(
    query: Tensor, gallery: Tensor, num_candidates: int = 128
) -> torch.Tensor:
    """Find the items with the greatest cosine.

    Args:
        query (Tensor): Of shape (Q, D), normalised.
        gallery (Tensor): Of shape (G, D), normalised.
        num_candidates (int): Candidates of each query, cut to G. Defaults to
            128.

    Returns:
        Tensor: Gallery indices, best first, of shape (Q, k), long.

    Raises:
        ValueError: If ``num_candidates`` is below 1 or shapes do not fit.
    """
    if num_candidates < 1:
        raise ValueError(
            f'num_candidates must be at least 1, got {num_candidates}.'
        )
    size = min(num_candidates, len(gallery))
    parts = [
        scores.topk(size, dim=1).indices
        for _, scores in similarity_blocks(query, gallery)
    ]
    return torch.cat(parts)


class FusedScores:
    """Scores of all queries against the gallery, in blocks of queries.

    The (Q, G) matrix is never in memory; cosines are computed twice, first
    for their range.

    Args:
        query (Tensor): Of shape (Q, D), normalised.
        gallery (Tensor): Of shape (G, D), normalised.
        index (Tensor): Candidates of each query, of shape (Q, k), long.
        matching (Tensor): Their matching scores, of shape (Q, k), floating.
        fusion (Fusion, optional): The rule. Defaults to the published one.
        chunk_size (int, optional): Queries in a block. Defaults to None.

    Raises:
        ValueError: If shapes do not fit, scores are not finite, or the
            release would print NaN with ``compat_world_size``.
    """

    def __init__(
        self,
        query: Tensor,
        gallery: Tensor,
        index: Tensor,
        matching: Tensor,
        fusion: Fusion | None = None,
        chunk_size: int | None = None,
    ) -> None:
        _check(query, gallery, index, matching)
        self.fusion = fusion or Fusion()
        self.exact = self.fusion.compat_world_size is None
        self._features = (query, gallery)
        self._chunk_size = chunk_size
        self._index = index
        self._matching = matching.double() if self.exact else matching.float()
        self._low, self._high, self._owner = self._matching_ranges()
        self._cosines = self._cosine_range()

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the first query of a block and scores (B, G)."""
        for start, cosine in self._blocks():
            yield start, self._fuse(start, cosine)

    def _blocks(self) -> Iterator[tuple[int, Tensor]]:
        return similarity_blocks(*self._features, chunk_size=self._chunk_size)

    def _cosine_range(self) -> tuple[Tensor, Tensor]:
        ranges = [scores.aminmax() for _, scores in self._blocks()]
        low = torch.stack([part.min for part in ranges]).min()
        return low, torch.stack([part.max for part in ranges]).max()

    def _matching_ranges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Range that a row is normalised by, and the process it is from."""
        number = len(self._matching)
        owner = torch.zeros(number, dtype=torch.long)
        low = self._matching.min().expand(number, 1)
        high = self._matching.max().expand(number, 1)
        size = self.fusion.compat_world_size or 1
        if size > 1:
            owner = torch.arange(number) // (number // size + 1)
            if int(owner[-1]) < size - 1:
                raise ValueError(
                    f'With {number} queries on {size} GPUs the release leaves '
                    'a process without queries and prints NaN. Choose a '
                    'smaller compat_world_size.'
                )
            least = self._matching.amin(1)
            lows = least.new_full((size,), torch.inf)
            lows = lows.scatter_reduce(0, owner, least, 'amin')
            low = lows[owner][:, None]
            high = torch.full_like(low, _OTHERS)
        return low, high, owner

    def _fuse(self, start: int, cosine: Tensor) -> Tensor:
        rows = slice(start, start + len(cosine))
        matching, index = self._matching[rows], self._index[rows]
        cosine = _minmax(cosine.to(matching.dtype), *self._cosines)
        cosine *= self.fusion.cosine_weight
        full = matching.amin(1, keepdim=True).repeat(1, cosine.shape[1])
        full.scatter_(1, index, matching)
        full = _minmax(full, self._low[rows], self._high[rows])
        full *= self.fusion.itm_weight
        full += cosine
        size = self.fusion.compat_world_size or 1
        return full if size == 1 else self._reduced(rows, full, cosine, size)

    def _reduced(
        self, rows: slice, own: Tensor, cosine: Tensor, size: int
    ) -> Tensor:
        """Sum over processes; those without the row have the greatest."""
        others = cosine + self.fusion.itm_weight
        owner = self._owner[rows, None].to(own.device)
        total = torch.zeros_like(own)
        for process in range(size):
            total += torch.where(owner == process, own, others)
        return total


def rank_reranked(
    scores: FusedScores,
    query_ids: Array,
    gallery_ids: Array,
    ties: str = 'pessimistic',
    ignore_ids: Sequence[int] = (-1,),
    exclude: Pairs | None = None,
    list_size: int = 0,
) -> tuple[Ranking, dict[str, Tensor]]:
    """Rank all positives by fused scores.

    Args:
        scores (FusedScores): Of Q queries and G items.
        query_ids (Tensor | ndarray | Sequence[int]): Of shape (Q, ).
        gallery_ids (Tensor | ndarray | Sequence[int]): Of shape (G, ).
        ties (str): See :func:`rank_metrics`; without effect where the
            release is repeated.
        ignore_ids (Sequence[int]): Ids that match nothing. Defaults to -1.
        exclude (tuple[Tensor, Tensor], optional): See :func:`rank_metrics`.
        list_size (int): Length of the lists; 0 for none. Defaults to 0.

    Returns:
        tuple[Ranking, dict[str, Tensor]]: The ranks of all positives, and
        what :func:`ranked_lists` gives (empty without lists).
    """
    query_ids = to_ids(query_ids, 'query_ids')
    gallery_ids = to_ids(gallery_ids, 'gallery_ids')
    parts, lists = [], []
    for start, block in scores:
        ids = query_ids[start : start + len(block)]
        pairs = _pairs_of(exclude, start, len(block))
        same = (ids, gallery_ids)
        if list_size:
            lists.append(
                ranked_lists(block, *same, list_size, ignore_ids, pairs)
            )
        block = block if scores.exact else _order(block)
        parts.append(ranks_of_positives(block, *same, ties, ignore_ids, pairs))
    keys = lists[0] if lists else ()
    return Ranking.join(parts), {
        key: torch.cat([part[key] for part in lists]) for key in keys
    }


def _minmax(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Map low..high to 0..1, equal scores to 0."""
    low, high = low.to(values.dtype), high.to(values.dtype)
    span = high - low
    span = torch.where(span > 0, span, torch.ones_like(span))
    return (values - low).div_(span)


def _order(scores: Tensor) -> Tensor:
    """Scores without ties in the order of a stable descending sort."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    place = torch.arange(0, -scores.shape[1], -1, device=scores.device)
    place = place.to(torch.float64).expand_as(order)
    return torch.empty_like(place).scatter_(1, order, place)


def _check(
    query: Tensor, gallery: Tensor, index: Tensor, matching: Tensor
) -> None:
    if (
        index.shape != matching.shape
        or index.dim() != 2
        or not index.numel()
        or len(index) != len(query)
    ):
        raise ValueError(
            f'Expected candidates and matching scores of shape '
            f'({len(query)}, k), got {tuple(index.shape)} and '
            f'{tuple(matching.shape)}.'
        )
    low, high = (int(value) for value in index.aminmax())
    if low < 0 or high >= len(gallery):
        raise ValueError(
            f'Candidates are numbered {low} to {high}, but the gallery has '
            f'{len(gallery)} items.'
        )
    broken = int((~matching.isfinite()).sum())
    if broken:
        raise ValueError(
            f'{broken} of {matching.numel()} matching scores are not finite. '
            'Look at the checkpoint, or at the precision it runs in.'
        )
