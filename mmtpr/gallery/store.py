"""What every store of a gallery can do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .identity import ModelIdentity
from .two_stage import (
    CANDIDATES,
    ItemSource,
    SearchSettings,
    search_source,
)


@dataclass(frozen=True)
class Hits:
    """Items found for one query, best first.

    Attributes:
        ids (list[str]): Of the k items.
        paths (list[str]): Likewise.
        scores (Tensor): Of shape (k, ).
        proven (int | None): Places, counted from the first, in which a search
            that compares everything would show the same; None if the search
            did not certify.
    """

    ids: list[str]
    paths: list[str]
    scores: Tensor
    proven: int | None = None

    def __len__(self) -> int:
        return len(self.ids)


class GalleryStore(ABC):
    """Items of a gallery: id, path, T vectors and columns of the user.

    All vectors are of one model; those of another are refused. As a context
    manager a store flushes at the end of the block, and drops what waits if
    the block ends with an error.

    Attributes:
        name (str): Name for messages.
        identity (ModelIdentity): Of the model.
    """

    name: str
    identity: ModelIdentity

    def add(
        self,
        ids: Sequence[str],
        vectors: Tensor,
        paths: Sequence[str] | None = None,
        columns: Mapping[str, Sequence] | None = None,
    ) -> None:
        """Add new items; all of them, or after an error none.

        Args:
            ids (Sequence[str]): Of the N items.
            vectors (Tensor): Of shape (N, T, D), or (N, D) for T = 1.
                Normalise them for cosines.
            paths (Sequence[str], optional): Paths or URIs of the images.
                Defaults to None, the ids.
            columns (Mapping[str, Sequence], optional): Values by name, N
                each, None where one is missing. Defaults to None.

        Raises:
            LaunchError: If the disk is full.
            ValueError: If an id is there already, or something does not fit.
        """
        self._put(ids, vectors, paths, columns, replace_present=False)

    def upsert(
        self,
        ids: Sequence[str],
        vectors: Tensor,
        paths: Sequence[str] | None = None,
        columns: Mapping[str, Sequence] | None = None,
    ) -> None:
        """Add items, in place of those of the same ids.

        Args:
            ids (Sequence[str]): See :meth:`add`.
            vectors (Tensor): Likewise.
            paths (Sequence[str], optional): Likewise.
            columns (Mapping[str, Sequence], optional): Likewise.

        Raises:
            LaunchError: If the disk is full.
            ValueError: If something does not fit.
        """
        self._put(ids, vectors, paths, columns, replace_present=True)

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Delete items; all of them, or after an error none.

        Args:
            ids (Sequence[str]): Of the items.

        Raises:
            ValueError: If one is not there.
        """

    @abstractmethod
    def flush(self) -> None:
        """Make all changes so far visible to readers, at once.

        Raises:
            LaunchError: If the disk is full. The former state is kept, and
                so are the changes: make room and flush again.
        """

    @abstractmethod
    def refresh(self) -> bool:
        """See what others wrote since the store was opened.

        Returns:
            bool: Whether there is something new.
        """

    @abstractmethod
    def fetch(self, ids: Sequence[str]) -> Tensor:
        """Read the vectors of items.

        Args:
            ids (Sequence[str]): Of N items.

        Returns:
            Tensor: Of shape (N, T, D), float32.

        Raises:
            ValueError: If one is not there.
        """

    @abstractmethod
    def columns(self, ids: Sequence[str]) -> dict[str, list]:
        """Read the columns of items.

        Args:
            ids (Sequence[str]): Of N items.

        Returns:
            dict[str, list]: N values by name, ``path`` among them, None where
            one is missing.

        Raises:
            ValueError: If one is not there.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Count the items, those that wait for a flush included."""

    @abstractmethod
    def verify(self) -> list[str]:
        """Read everything that is stored and say what is damaged.

        Returns:
            list[str]: What is damaged, empty if nothing is.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the store go, without what was not flushed."""

    @abstractmethod
    def ids(self, where: str | None = None) -> list[str]:
        """List the items.

        Args:
            where (str, optional): Filter on columns. Defaults to None.

        Returns:
            list[str]: Their ids.

        Raises:
            WhereError: If the filter cannot be read or has a wrong column.
        """

    @property
    @abstractmethod
    def column_kinds(self) -> dict[str, str]:
        """Kinds of the columns by name.

        Returns:
            dict[str, str]: ``bool``, ``int``, ``float``, ``text``, ``time``.
        """

    @property
    @abstractmethod
    def notes(self) -> dict[str, Any]:
        """Notes that are kept with the items, anything that json can hold.

        Returns:
            dict[str, Any]: A copy.
        """

    @abstractmethod
    def set_notes(self, notes: Mapping[str, Any]) -> None:
        """Replace the notes; a flush writes them with the items.

        Args:
            notes (Mapping[str, Any]): Anything that json can hold.
        """

    @property
    def shape(self) -> tuple[int, int]:
        """Vectors T of an item and numbers D of one.

        Returns:
            tuple[int, int]: Both, zeros as long as nothing was added.
        """
        return self._shape()

    @abstractmethod
    def _put(
        self,
        ids: Sequence[str],
        vectors: Tensor,
        paths: Sequence[str] | None,
        columns: Mapping[str, Sequence] | None,
        replace_present: bool,
    ) -> None:
        """Add items; those of ids that are there are replaced or refused."""

    @abstractmethod
    def _source(
        self, where: str | None
    ) -> tuple[ItemSource, np.ndarray | None]:
        """Open the flushed items for a search; see :func:`search_source`."""

    @abstractmethod
    def _shape(self) -> tuple[int, int]:
        """Vectors T of an item and numbers D of one; zeros if unknown."""

    def search(
        self,
        query: Tensor,
        k: int = 10,
        where: str | None = None,
        topk_tokens: int = 1,
        candidates: int = CANDIDATES,
        exact: bool = False,
        certify: bool = False,
    ) -> list[Hits]:
        """Find the best items for some queries.

        The score of an item is the mean of the ``topk_tokens`` largest of its
        T products with the query. Of several vectors an item, and where the
        index is an approximation, only candidates that the index finds are
        scored.

        Args:
            query (Tensor): Vectors of the same model, (Q, D), or (D, ) for
                one.
            k (int): Items to find. Defaults to 10.
            where (str, optional): Filter on columns, such as ``camera == 3
                and time > '2024-05-01'``; see :func:`parse_where`. Defaults
                to None.
            topk_tokens (int): From 1 to T. Defaults to 1.
            candidates (int): Items that are scored. Defaults to 1,000.
            exact (bool): Whether all are. Defaults to False.
            certify (bool): Whether to find out how many places are proven,
                which reads all vectors as ``exact`` does. Defaults to False.

        Returns:
            list[Hits]: One a query; fewer than k items where there are no
            more.

        Raises:
            ValueError: If something does not fit.
            WhereError: If the filter cannot be read or has a wrong column.
        """
        settings = SearchSettings(k, topk_tokens, candidates, exact, certify)
        self._before_reading()
        query = self._checked_query(query, topk_tokens)
        out = []
        source, allowed = self._source(where)
        for ranked in search_source(source, query, settings, allowed):
            ids, paths = source.name_rows(ranked.rows)
            out.append(Hits(ids, paths, ranked.scores, ranked.proven))
        return out

    def _before_reading(self) -> None:
        """Make what was changed a part of what is read."""
        self.flush()

    def _checked_query(self, query: Tensor, topk_tokens: int) -> Tensor:
        query = torch.as_tensor(query).detach()
        query = query[None] if query.dim() == 1 else query
        if query.dim() != 2 or not query.is_floating_point():
            raise ValueError(
                'Expected query vectors (Q, D) of floating numbers, got '
                f'{tuple(query.shape)} of {query.dtype}.'
            )
        vectors, dim = self._shape()
        if dim and query.shape[1] != dim:
            raise ValueError(
                f'The store "{self.name}" holds vectors of {dim} numbers, the '
                f'query has {query.shape[1]}: it is of another model.'
            )
        if vectors and topk_tokens > vectors:
            raise ValueError(
                f'topk_tokens is {topk_tokens}, but an item has {vectors} '
                'vectors; choose from 1 to that number.'
            )
        query = query.float().cpu().contiguous()
        # For one vector numpy is faster than torch.
        if not np.isfinite(query.numpy()).all():
            raise ValueError('A query vector is not finite.')
        return query

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self.close()
