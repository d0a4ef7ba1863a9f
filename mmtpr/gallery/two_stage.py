"""Search in two stages: candidates by pooled vectors, then the exact rule."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mmtpr.evaluation.equal_items import EqualItems
from mmtpr.evaluation.search import head, search
from mmtpr.evaluation.similarity import topk_similarity

from .stored_items import StoredItems

#: Items that are compared exactly, as a rule.
CANDIDATES = 1000
#: Rounding of a product of two vectors of length one, and to spare.
_MARGIN = 1e-5


class ItemSource(Protocol):
    """What a search asks of a store."""

    @property
    def rows(self) -> int:
        """Rows, those of deleted items included."""
        ...

    @property
    def compares_all(self) -> bool:
        """Whether the first stage misses nothing and scores exactly."""
        ...

    @property
    def labels(self) -> np.ndarray | None:
        """First row of the same vectors for each row; None if all differ."""
        ...

    def all_rows(self) -> np.ndarray:
        """List the rows of all items that may be found, in order."""
        ...

    def nearest(
        self, query: np.ndarray, num: int, allowed: np.ndarray | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find candidates by pooled vectors."""
        ...

    def items(self, rows: np.ndarray) -> StoredItems:
        """Show vectors where they lie."""
        ...

    def name_rows(self, rows: np.ndarray) -> tuple[list[str], list[str]]:
        """Give ids and paths."""
        ...


@dataclass(frozen=True)
class SearchSettings:
    """How a store is searched.

    Attributes:
        num (int): Items K that are wanted.
        topk_tokens (int): How many of an item's T products are averaged.
        candidates (int): Items of the first stage that are compared exactly.
        exact (bool): Whether all items are compared exactly.
        certify (bool): Whether it is found out how many places are proven.
    """

    num: int = 10
    topk_tokens: int = 1
    candidates: int = CANDIDATES
    exact: bool = False
    certify: bool = False

    def __post_init__(self) -> None:
        for name in ('num', 'topk_tokens', 'candidates'):
            value: Any = getattr(self, name)
            whole = isinstance(value, int | np.integer)
            if not whole or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f'{name} must be a whole number of at least 1, got '
                    f'{value!r}.'
                )


@dataclass(frozen=True)
class Ranked:
    """Rows found for one query.

    Attributes:
        scores (Tensor): Best first, (k, ).
        rows (ndarray): Rows in the store, (k, ).
        proven (int | None): Places, counted from the first, in which an
            exact search would show the same; None if nobody asked.
    """

    scores: Tensor
    rows: np.ndarray = field(repr=False)
    proven: int | None = None


def search_source(
    source: ItemSource,
    query: Tensor,
    settings: SearchSettings,
    allowed: np.ndarray | None = None,
) -> list[Ranked]:
    """Rank the items of a store for some queries.

    Args:
        source (ItemSource): The store.
        query (Tensor): Of shape (Q, D), float32.
        settings (SearchSettings): How.
        allowed (ndarray, optional): True for the rows that may be found,
            (N, ). Defaults to None, all.

    Returns:
        list[Ranked]: One a query.
    """
    number = source.rows if allowed is None else int(allowed.sum())
    if number == 0:
        none = Ranked(torch.zeros(0), np.zeros(0, dtype=np.int64))
        proven = 0 if settings.certify else None
        return [Ranked(none.scores, none.rows, proven) for _ in query]
    if settings.exact:
        return _exact(source, query, settings, _rows(source, allowed))
    if source.compares_all:
        return _compared(source, query, settings, allowed)
    wanted = max(settings.candidates, settings.num)
    if number <= wanted:
        rows = _rows(source, allowed)
        found = [rows] * len(query)
    else:
        nearest = source.nearest(query.numpy(), wanted, allowed)
        found = [np.sort(rows) for _, rows in nearest]
    if not settings.certify:
        pairs = zip(query, found, strict=True)
        return [_rescored(source, q, rows, settings) for q, rows in pairs]
    return _certified(
        source, query, settings, found, _rows(source, allowed), wanted
    )


def _rows(source: ItemSource, allowed: np.ndarray | None) -> np.ndarray:
    if allowed is None:
        return source.all_rows()
    return allowed.nonzero()[0]


def _exact(
    source: ItemSource,
    query: Tensor,
    settings: SearchSettings,
    rows: np.ndarray,
) -> list[Ranked]:
    """Compare all rows (n, ) by the functions of the metrics."""
    scores, places = search(
        query,
        source.items(rows),  # type: ignore[arg-type]
        settings.num,
        settings.topk_tokens,
        equal=_equal(source.labels, rows),
        narrow=True,
    )
    proven = scores.shape[1] if settings.certify else None
    return [
        Ranked(score, rows[place.numpy()], proven)
        for score, place in zip(scores, places, strict=True)
    ]


def _equal(labels: np.ndarray | None, rows: np.ndarray) -> EqualItems:
    """Places (P, ) among rows (n, ) of equal items and of their firsts."""
    if labels is None:
        none = torch.zeros(0, dtype=torch.long)
        return none, none
    _, index, inverse = np.unique(
        labels[rows], return_index=True, return_inverse=True
    )
    first = index[inverse]  # (n, )
    later = (first != np.arange(len(rows))).nonzero()[0]
    return torch.from_numpy(later), torch.from_numpy(first[later])


def _compared(
    source: ItemSource,
    query: Tensor,
    settings: SearchSettings,
    allowed: np.ndarray | None,
) -> list[Ranked]:
    """Take what the first stage gives, which is exact."""
    nearest = source.nearest(query.numpy(), settings.num, allowed)
    return [
        Ranked(
            torch.from_numpy(scores.copy()),
            rows,
            len(rows) if settings.certify else None,
        )
        for scores, rows in nearest
    ]


def _rescored(
    source: ItemSource,
    query: Tensor,
    rows: np.ndarray,
    settings: SearchSettings,
) -> Ranked:
    """Compare a query (D, ) with candidates (n, ) exactly."""
    items = source.items(rows)
    scores = topk_similarity(
        query[None],
        items.read(rows),  # (n, T, D)
        settings.topk_tokens,
        narrow=True,
    )
    value, place = head(scores, settings.num)
    return Ranked(value[0], rows[place[0].numpy()])


def _certified(
    source: ItemSource,
    query: Tensor,
    settings: SearchSettings,
    found: list[np.ndarray],
    rows: np.ndarray,
    wanted: int,
) -> list[Ranked]:
    """Rescore with candidates by single vectors, and count proven places.

    The best vectors belong to some items, the worst of these vectors scores
    s. All vectors of any other item score s at most, and so does the mean of
    some of them: a result above s is where an exact search would show it.
    """
    items = source.items(rows)
    single = items.single_vectors()
    none = _equal(None, rows)
    scores, places = search(
        query,
        single,  # type: ignore[arg-type]
        wanted,
        equal=none,
        narrow=True,
    )  # (Q, wanted)
    out = []
    for q, best, vectors, near in zip(
        query, scores, places, found, strict=True
    ):
        own = rows[np.unique(vectors.numpy() // items.shape[1])]
        together = np.union1d(own, near)
        ranked = _rescored(source, q, together, settings)
        proven = len(ranked.rows)
        if len(together) < len(rows):
            margin = _MARGIN * max(1.0, float(best[0].abs()))
            above = ranked.scores > best[-1] + margin
            proven = int(above.sum())
        out.append(Ranked(ranked.scores, ranked.rows, proven))
    return out
