"""A collection of Qdrant as a gallery uses it."""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtpr.utils.errors import LaunchError

from .qdrant_facts import CollectionFacts
from .qdrant_filter import qdrant
from .qdrant_payload import POOLED, TOKENS, point_id

#: Numbers that a request or an answer carries: some 10 MB as JSON, of 32 MB
#: that a server takes.
_NUMBERS = 500_000
_MOST_POINTS = 1_000
_INDEXES = dict(
    bool='BOOL', int='INTEGER', float='FLOAT', text='KEYWORD', time='DATETIME'
)


class QdrantCollection:
    """Requests to a collection, in portions that a server takes.

    Args:
        client (qdrant_client.QdrantClient): The client.
        collection (str): Name of the collection.
        name (str): Name of the store, for messages.
        is_local (bool): Whether the client works without a server.
    """

    def __init__(
        self, client: Any, collection: str, name: str, is_local: bool
    ) -> None:
        self.client, self.collection, self.name = client, collection, name
        self.is_local = is_local

    def ask(self, request: str, **kwargs: Any) -> Any:
        """Send a request.

        Args:
            request (str): Method of the client.
            **kwargs: Its arguments, without the name of the collection.

        Returns:
            Any: The answer.

        Raises:
            LaunchError: If the server does not answer, or refuses.
        """
        try:
            return getattr(self.client, request)(
                collection_name=self.collection, **kwargs
            )
        except Exception as error:
            if not _is_of_connection(error):
                raise
            told = ' '.join(str(error).split()).rstrip('.')[:300]
            raise LaunchError(
                f'{self.name} does not do what is asked ({request}: {told}). '
                'See whether the server runs, is Qdrant 1.16 or newer and '
                'takes the key.'
            ) from error

    def facts(self) -> CollectionFacts | None:
        """Read what the collection says of itself.

        Returns:
            CollectionFacts | None: None if there is no such collection.

        Raises:
            LaunchError: If the server does not answer.
            ValueError: If it is not a gallery, or of a newer mmtpr.
        """
        if not self.ask('collection_exists'):
            return None
        config = self.ask('get_collection').config
        metadata = getattr(config, 'metadata', None)
        return CollectionFacts.from_metadata(metadata, self.name)

    def create(self, facts: CollectionFacts) -> None:
        """Make the collection.

        Args:
            facts (CollectionFacts): With the shape of an item.

        Raises:
            LaunchError: If the server does not answer, or refuses.
        """
        models = qdrant().models
        shape = dict(size=facts.dim, distance=models.Distance.DOT)
        vectors = {POOLED: models.VectorParams(**shape, on_disk=True)}
        if facts.vectors > 1:
            many = models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM
            )
            vectors[TOKENS] = models.VectorParams(
                **shape,
                on_disk=True,
                datatype=models.Datatype.FLOAT16,
                # They rescore candidates; no graph is built over them.
                hnsw_config=models.HnswConfigDiff(m=0),
                multivector_config=many,
            )
        self.ask(
            'create_collection',
            vectors_config=vectors,
            metadata=facts.to_metadata(),
        )
        self.index({'id': 'text', 'path': 'text'})

    def index(self, kinds: Mapping[str, str]) -> None:
        """Index columns for filters.

        Args:
            kinds (Mapping[str, str]): Kinds by name.
        """
        if self.is_local:  # has no indexes
            return
        schema = qdrant().models.PayloadSchemaType
        for name, kind in kinds.items():
            self.ask(
                'create_payload_index',
                field_name=name,
                field_schema=schema[_INDEXES[kind]],
            )

    def upsert(
        self,
        ids: Sequence[str],
        stored: np.ndarray,
        pooled: np.ndarray,
        payloads: Sequence[dict],
    ) -> None:
        """Write items.

        Args:
            ids (Sequence[str]): Of n items.
            stored (ndarray): Of shape (n, T, D).
            pooled (ndarray): Of shape (n, D), float32.
            payloads (Sequence[dict]): One an item.
        """
        models = qdrant().models
        for part in _portions(len(ids), stored[0].size):
            points = []
            for i in part:
                vector: dict[str, Any] = {POOLED: pooled[i].tolist()}
                if stored.shape[1] > 1:
                    vector[TOKENS] = stored[i].astype(np.float32).tolist()
                points.append(
                    models.PointStruct(
                        id=point_id(ids[i]),
                        vector=vector,
                        payload=payloads[i],
                    )
                )
            self.ask('upsert', points=points, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete items.

        Args:
            ids (Sequence[str]): Of the items.
        """
        models = qdrant().models
        for part in _portions(len(ids), 1):
            points = [point_id(ids[i]) for i in part]
            self.ask(
                'delete',
                points_selector=models.PointIdsList(points=points),
                wait=True,
            )

    def read(self, ids: Sequence[str], shape: tuple[int, int]) -> Tensor:
        """Read vectors.

        Args:
            ids (Sequence[str]): Of n items.
            shape (tuple[int, int]): T and D.

        Returns:
            Tensor: Of shape (n, T, D), float32.

        Raises:
            ValueError: If one is not there.
        """
        vectors, dim = shape
        which = TOKENS if vectors > 1 else POOLED
        out = np.empty((len(ids), vectors, dim), np.float32)
        for part in _portions(len(ids), vectors * dim):
            names = [ids[i] for i in part]
            found = self.points(names, vectors=[which])
            self.check_all(names, found)
            for i, name in zip(part, names, strict=True):
                out[i] = found[name].vector[which]
        return torch.from_numpy(out)

    def points(
        self,
        ids: Sequence[str],
        payload: bool | list[str] = False,
        vectors: bool | list[str] = False,
    ) -> dict[str, Any]:
        """Find points.

        Args:
            ids (Sequence[str]): Of some items.
            payload (bool | list[str]): Which columns. Defaults to False,
                none.
            vectors (bool | list[str]): Which vectors. Defaults to False,
                none.

        Returns:
            dict[str, Any]: Points by id, of those that there are.
        """
        names = {point_id(name): name for name in ids}
        keys = list(names)
        found: dict[str, Any] = {}
        for part in _portions(len(keys), 1):
            points = self.ask(
                'retrieve',
                ids=[keys[i] for i in part],
                with_payload=payload,
                with_vectors=vectors,
            )
            found.update({names[str(point.id)]: point for point in points})
        return found

    def check_all(self, ids: Sequence[str], found: Container[str]) -> None:
        """Refuse ids that are not there.

        Args:
            ids (Sequence[str]): That are looked for.
            found (Container[str]): The ids that are there.

        Raises:
            ValueError: If one is not.
        """
        absent = [name for name in ids if name not in found]
        if absent:
            raise ValueError(
                f'{len(absent)} of {len(ids)} ids are not in {self.name}, '
                f'e.g. "{absent[0]}".'
            )

    def scroll(
        self,
        where: Any = None,
        payload: bool | list[str] = False,
        vectors: bool = False,
        numbers: int = 1,
    ) -> Iterator[Any]:
        """Read all points.

        Args:
            where (qdrant_client.models.Filter, optional): Which. Defaults to
                None, all.
            payload (bool | list[str]): Which columns. Defaults to False,
                none.
            vectors (bool): Whether with vectors. Defaults to False.
            numbers (int): Numbers of a point's vectors. Defaults to 1.

        Yields:
            qdrant_client.models.Record: A point.
        """
        start = None
        while True:
            points, start = self.ask(
                'scroll',
                scroll_filter=where,
                limit=_portion(numbers),
                offset=start,
                with_payload=payload,
                with_vectors=vectors,
            )
            yield from points
            if start is None:
                return


def _portion(numbers: int) -> int:
    return max(1, min(_MOST_POINTS, _NUMBERS // max(1, numbers)))


def _portions(count: int, numbers: int) -> Iterator[range]:
    step = _portion(numbers)
    for start in range(0, count, step):
        yield range(start, min(start + step, count))


def _is_of_connection(error: Exception) -> bool:
    """Tell what a server or its connection says from mistakes in here."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        kinds
        & {
            'ApiException',  # of the client: refused, or not answered
            'ResponseHandlingException',
            'UnexpectedResponse',
            'RpcError',  # of gRPC
            'OSError',
        }
    )
