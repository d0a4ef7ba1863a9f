"""A store in Qdrant, for more than one machine."""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from mmtpr.utils.warn import warn

from .column_filter import bind_where
from .columns import arrow, make_columns
from .identity import ModelIdentity
from .new_items import check_items
from .qdrant_collection import QdrantCollection
from .qdrant_connection import connect
from .qdrant_facts import CollectionFacts
from .qdrant_filter import to_filter
from .qdrant_payload import (
    POOLED,
    TOKENS,
    from_payload,
    point_damage,
    to_payload,
)
from .qdrant_source import QdrantSource
from .segment import as_stored
from .store import GalleryStore
from .waiting_items import WaitingItems
from .where_clause import parse_where

#: What Qdrant's paths into payloads give a meaning: nothing of it.
_COLUMN = re.compile(r'[^\W\d][\w-]*')


class QdrantStore(GalleryStore):
    """Items in a collection of Qdrant: a server, or a folder for tests.

    Means of the vectors lie in a graph (HNSW), the vectors of several an item
    beside them as float16, columns in the payload with an index each. What is
    changed waits in memory for a flush, which sends it in portions: a reader
    may see some of them before the others, and a flush that is killed is
    finished by doing the same again.

    Args:
        collection (str): Name of the collection.
        identity (ModelIdentity, optional): Of the model that vectors are of;
            a store of another is refused. Defaults to None, whichever; a new
            store needs one.
        url (str, optional): Of a server, Qdrant 1.16 or newer, such as
            ``http://localhost:6333``. ``':memory:'`` keeps all in memory.
            Defaults to None.
        path (str | PathLike, optional): Folder of a store without a server,
            in the client's local mode, which compares all: for tests, not
            for more than 20,000 items. Defaults to None.
        api_key (str, optional): Of the server. Defaults to None, the
            environment variable ``QDRANT_API_KEY``.
        write (bool): Whether to write. Defaults to False.
        timeout (int): Seconds to wait for an answer. Defaults to 60.
        **kwargs: Further arguments of ``qdrant_client.QdrantClient``, such
            as ``prefer_grpc=True``, which reads vectors faster.

    Raises:
        FileNotFoundError: If there is no such collection, and none is made.
        ImportError: If qdrant-client or pyarrow is not installed.
        LaunchError: If the server does not answer.
        ValueError: If the collection is none of mmtpr, of another model or
            of a newer mmtpr.

    Examples:
        >>> store = QdrantStore(
        ...     'gallery', identity, 'http://localhost:6333', write=True)
    """

    def __init__(
        self,
        collection: str,
        identity: ModelIdentity | None = None,
        url: str | None = None,
        path: str | os.PathLike | None = None,
        api_key: str | None = None,
        write: bool = False,
        timeout: int = 60,
        **kwargs: Any,
    ) -> None:
        arrow()
        if (url is None) == (path is None):
            raise ValueError('A QdrantStore needs a url or a path, not both.')
        where = str(url if path is None else path)
        self.name = f'the store "{collection}" of Qdrant at {where}'
        is_local = path is not None or url == ':memory:'
        client = connect(where, is_local, path, api_key, timeout, kwargs)
        self._collection = QdrantCollection(
            client, collection, self.name, is_local
        )
        self._writes = write
        try:
            facts = self._collection.facts()
            if facts is None and not write:
                told = f'There is no collection for {self.name}.'
                raise FileNotFoundError(told)
            if facts is None and identity is None:
                raise ValueError(
                    f'There is no collection yet for {self.name}: give the '
                    'identity of the model to make one.'
                )
            self._is_made = facts is not None
            if facts is None:
                facts = CollectionFacts(identity.to_dict())  # type: ignore
            self.identity = ModelIdentity.from_dict(facts.identity)
            if identity is not None:
                self.identity.check(identity, self.name)
        except BaseException:
            client.close()
            raise
        self._facts = self._flushed = facts
        self._waiting = WaitingItems()

    def delete(self, ids: Sequence[str]) -> None:
        """See :meth:`GalleryStore.delete`."""
        self._check_writes()
        ids = list(dict.fromkeys(ids))
        self._collection.check_all(ids, self._present(ids))
        self._waiting.delete(ids)

    def flush(self) -> None:
        """See :meth:`GalleryStore.flush`.

        Raises:
            LaunchError: If the server does not answer. What it took by then
                is there, the rest waits: flush again.
        """
        if not self._writes or not self._is_dirty:
            return
        if not self._is_made and self._facts.dim:
            bare = replace(self._facts, columns={})
            self._collection.create(bare)
            self._is_made, self._flushed = True, bare
        if self._is_made and self._facts != self._flushed:
            self._write_facts()
        self._waiting.send(self._collection)

    def fetch(self, ids: Sequence[str]) -> Tensor:
        """See :meth:`GalleryStore.fetch`."""
        self._before_reading()
        ids = list(ids)
        self._collection.check_all(ids, self._present(ids))
        return self._collection.read(ids, self._shape())

    def columns(self, ids: Sequence[str]) -> dict[str, list]:
        """See :meth:`GalleryStore.columns`."""
        self._before_reading()
        ids = list(ids)
        found = self._points(ids, payload=True)
        self._collection.check_all(ids, found)
        kinds = {'path': 'text', **self._facts.columns}
        return {
            name: [
                from_payload(found[one].payload.get(name), kind) for one in ids
            ]
            for name, kind in kinds.items()
        }

    def ids(self, where: str | None = None) -> list[str]:
        """See :meth:`GalleryStore.ids`; they are in order of the ids."""
        self._before_reading()
        source, _ = self._source(where)
        if not source.rows:
            return []
        return source.name_rows(source.all_rows())[0]

    @property
    def column_kinds(self) -> dict[str, str]:
        """See :attr:`GalleryStore.column_kinds`."""
        return dict(self._facts.columns)

    @property
    def notes(self) -> dict[str, Any]:
        """See :attr:`GalleryStore.notes`."""
        return copy.deepcopy(self._facts.notes)

    def set_notes(self, notes: Mapping[str, Any]) -> None:
        """See :meth:`GalleryStore.set_notes`."""
        self._check_writes()
        own = copy.deepcopy(dict(notes))
        self._facts = replace(self._facts, notes=own)

    def __len__(self) -> int:
        there = 0
        if self._is_made:
            there = self._collection.ask('count', exact=True).count
        return there + self._waiting.more

    def verify(self) -> list[str]:
        """See :meth:`GalleryStore.verify`."""
        self._before_reading()
        if not self._is_made:
            return []
        vectors, dim = self._shape()
        wanted: dict[str, tuple[int, ...]] = {POOLED: (dim,)}
        if vectors > 1:
            wanted[TOKENS] = (vectors, dim)
        found = []
        points = self._collection.scroll(
            payload=True, vectors=True, numbers=(vectors + 1) * dim
        )
        for point in points:
            damage = point_damage(point, wanted, self._facts.columns)
            if damage:
                found.append(f'the point {point.id}: {damage}')
        return found

    def refresh(self) -> bool:
        """See columns that others brought since the store was opened.

        Returns:
            bool: Whether there is something new about the store itself;
            items are always read as they are.

        Raises:
            LaunchError: If the server does not answer.
        """
        facts = self._collection.facts()
        if self._writes or facts is None or facts == self._facts:
            return False
        self._facts = self._flushed = facts
        return True

    def close(self) -> None:
        """See :meth:`GalleryStore.close`."""
        if self._writes and self._is_dirty:
            warn(
                f'{self.name} is closed without changes that were not flushed.'
            )
        self._waiting = WaitingItems()
        self._facts = self._flushed
        self._writes = False
        self._collection.client.close()

    def _put(
        self,
        ids: Sequence[str],
        vectors: Tensor,
        paths: Sequence[str] | None,
        columns: Mapping[str, Sequence] | None,
        replace_present: bool,
    ) -> None:
        self._check_writes()
        new = check_items(ids, vectors, paths, self._shape())
        present = self._present(new.ids)
        if present and not replace_present:
            raise ValueError(
                f'{len(present)} of {len(new.ids)} ids are in {self.name} '
                f'already, e.g. "{min(present)}". Upsert them to replace them.'
            )
        for name in columns or {}:
            if not isinstance(name, str) or not _COLUMN.fullmatch(name):
                raise ValueError(
                    f'{name!r} is no name of a column for Qdrant: letters, '
                    'digits, _ and - make one.'
                )
        facts = self._facts
        arrays, kinds = make_columns(
            columns or {}, len(new.ids), facts.columns
        )
        if not new.ids:
            return
        payloads = [
            dict(id=name, path=path)
            for name, path in zip(new.ids, new.paths, strict=True)
        ]
        for name, array in arrays.items():
            for payload, value in zip(
                payloads, array.to_pylist(), strict=True
            ):
                if value is not None:
                    payload[name] = to_payload(value, kinds[name])
        stored, pooled = as_stored(new.vectors)
        self._waiting.upsert(new.ids, stored, pooled, payloads, present)
        self._facts = replace(
            facts,
            columns=kinds,
            vectors=stored.shape[1],
            dim=stored.shape[2],
        )

    def _write_facts(self) -> None:
        """Tell the collection of new columns and notes."""
        theirs = self._collection.facts() or self._flushed
        both = {**theirs.columns, **self._facts.columns}
        differ = [k for k, kind in theirs.columns.items() if kind != both[k]]
        if differ:
            raise ValueError(
                f'Another writer has brought the column "{differ[0]}" to '
                f'{self.name} as {theirs.columns[differ[0]]}, this one brings '
                f'{both[differ[0]]}. Convert it, or name it otherwise.'
            )
        facts = replace(self._facts, columns=both)
        new = [name for name in both if name not in theirs.columns]
        self._collection.index({name: both[name] for name in new})
        self._collection.ask('update_collection', metadata=facts.to_metadata())
        self._facts = self._flushed = facts

    def _present(self, ids: Sequence[str]) -> set[str]:
        """Which ids are there, as seen after what waits."""
        there = set(self._points(ids))
        return self._waiting.apply(ids, there)

    def _points(self, ids: Sequence[str], **kwargs: Any) -> dict[str, Any]:
        if not self._is_made:
            return {}
        return self._collection.points(ids, **kwargs)

    def _check_writes(self) -> None:
        if not self._writes:
            raise ValueError(
                f'{self.name} is open for reading only. Open it with '
                'write=True.'
            )

    @property
    def _is_dirty(self) -> bool:
        return bool(self._waiting) or self._facts != self._flushed

    def _source(self, where: str | None) -> tuple[QdrantSource, None]:
        found = None
        if where is not None:
            kinds = self._facts.columns
            found = to_filter(bind_where(parse_where(where), kinds))
        shape = self._shape() if self._is_made else (0, 0)
        return QdrantSource(self._collection, found, shape), None

    def _shape(self) -> tuple[int, int]:
        return self._facts.vectors, self._facts.dim
