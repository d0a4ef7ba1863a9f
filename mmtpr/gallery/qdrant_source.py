"""Items of Qdrant as a search in two stages sees them."""

from functools import cached_property
from typing import Any

import numpy as np

from mmtpr.evaluation.equal_items import equal_items

from .qdrant_collection import QdrantCollection
from .qdrant_filter import qdrant
from .qdrant_payload import POOLED
from .stored_items import StoredItems

#: Fewest neighbours that the search in the graph keeps.
_FEWEST_KEPT = 128
#: Queries of one request.
_QUERIES = 64


class QdrantSource:
    """Items that a filter lets through, numbered in order of their ids.

    Candidates of one request get numbers when they are met, all items when
    they are listed, which only an exact search needs.

    Args:
        collection (QdrantCollection): The collection.
        where (qdrant_client.models.Filter, optional): The filter.
        shape (tuple[int, int]): Vectors T of an item and numbers D of one.
    """

    compares_all = False

    def __init__(
        self,
        collection: QdrantCollection,
        where: Any,
        shape: tuple[int, int],
    ) -> None:
        self.collection, self.where, self.shape = collection, where, shape
        self._named: list[tuple[str, str]] = []  # id and path by row
        self._row: dict[str, int] = {}  # by id
        self._all: np.ndarray | None = None

    @cached_property
    def rows(self) -> int:
        """Items, counted once."""
        if not any(self.shape):
            return 0
        found = self.collection.ask(
            'count', count_filter=self.where, exact=True
        )
        return found.count

    @cached_property
    def labels(self) -> np.ndarray | None:
        """First row of the same vectors for each row; None if all differ."""
        rows = self.all_rows()
        found = equal_items(self.items(rows)) if len(rows) else None
        if found is None:
            return None
        labels = np.arange(len(self._named))
        labels[rows[found[0].numpy()]] = rows[found[1].numpy()]
        return labels

    def all_rows(self) -> np.ndarray:
        """List all items, once.

        Returns:
            ndarray: Their rows, in order of the ids, (n, ).
        """
        if self._all is None:
            points = self.collection.scroll(self.where, ['id', 'path'])
            self._all = self._number([point.payload for point in points])
            self._all.flags.writeable = False
        return self._all

    def nearest(
        self, query: np.ndarray, num: int, allowed: np.ndarray | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find the items whose pooled vectors have the largest products.

        Args:
            query (ndarray): Of shape (Q, D), float32.
            num (int): How many K.
            allowed (ndarray, optional): Not used: the server filters.

        Returns:
            list[tuple[ndarray, ndarray]]: Products and rows of each query,
            both (<= K, ), largest first.
        """
        models = qdrant().models
        kept = None
        if not self.collection.is_local:  # which compares all, and says so
            kept = models.SearchParams(hnsw_ef=max(_FEWEST_KEPT, num))
        answers = []
        for start in range(0, len(query), _QUERIES):
            requests = [
                models.QueryRequest(
                    query=vector.tolist(),
                    using=POOLED,
                    filter=self.where,
                    params=kept,
                    limit=num,
                    with_payload=['id', 'path'],
                )
                for vector in query[start : start + _QUERIES]
            ]
            answers += self.collection.ask(
                'query_batch_points', requests=requests
            )
        self._number([p.payload for one in answers for p in one.points])
        return [
            (
                np.array([p.score for p in one.points], np.float32),
                np.array(
                    [self._row[p.payload['id']] for p in one.points], np.int64
                ),
            )
            for one in answers
        ]

    def items(self, rows: np.ndarray) -> StoredItems:
        """Show vectors where they lie.

        Args:
            rows (ndarray): Rows of the n items, (n, ).

        Returns:
            StoredItems: Of shape (n, T, D).
        """

        def read(some: np.ndarray) -> Any:
            ids = [self._named[row][0] for row in some.tolist()]
            return self.collection.read(ids, self.shape)

        return StoredItems(read, rows, *self.shape)

    def name_rows(self, rows: np.ndarray) -> tuple[list[str], list[str]]:
        """Give ids and paths of items.

        Args:
            rows (ndarray): Their rows, (n, ).

        Returns:
            tuple[list[str], list[str]]: Both of n texts.
        """
        named = [self._named[row] for row in rows.tolist()]
        return [name for name, _ in named], [path for _, path in named]

    def _number(self, payloads: list[dict]) -> np.ndarray:
        """Number items that are met for the first time.

        Returns the rows of all of them, in order of their ids.
        """
        found = sorted({(one['id'], one['path']) for one in payloads})
        for name, path in found:
            if name not in self._row:
                self._row[name] = len(self._named)
                self._named.append((name, path))
        return np.array([self._row[name] for name, _ in found], np.int64)
