"""A collection of Qdrant as a gallery uses it."""

import json
import math
import uuid
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtpr.utils.errors import LaunchError

from .qdrant_filter import qdrant, read_time, write_time

#: Names of the vectors of a point.
POOLED, TOKENS = 'pooled', 'tokens'
#: Format that this mmtpr writes, and the key of the metadata that holds it.
FORMAT, KEY = 1, 'mmtpr'
#: Numbers that a request or an answer carries: some 10 MB as JSON, of 32 MB
#: that a server takes.
_NUMBERS = 500_000
_MOST_POINTS = 1_000
_SPACE = uuid.UUID('6f0a4b52-8d0f-4b1b-9d4a-3c8a5b6f9c11')
_INDEXES = dict(
    bool='BOOL', int='INTEGER', float='FLOAT', text='KEYWORD', time='DATETIME'
)


@dataclass(frozen=True)
class CollectionFacts:
    """What a collection says of itself.

    Attributes:
        identity (dict[str, str]): Of the model.
        vectors (int): Vectors T of an item.
        dim (int): Numbers D of one.
        columns (dict[str, str]): Kinds of the columns by name.
        notes (dict[str, Any]): Notes that are kept with the items.
        format (int): How it is written.
    """

    identity: dict[str, str]
    vectors: int = 0
    dim: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_metadata(self) -> dict[str, str]:
        """Write the facts.

        Returns:
            dict[str, str]: Metadata of the collection.
        """
        # As one text: metadata that is an object would be merged.
        return {KEY: json.dumps(asdict(self))}

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, Any] | None, name: str
    ) -> 'CollectionFacts':
        """Read the facts.

        Args:
            metadata (Mapping, optional): Of a collection.
            name (str): Of the store, for messages.

        Returns:
            CollectionFacts: The facts.

        Raises:
            ValueError: If it is not a gallery, or of a newer mmtpr.
        """
        try:
            values = json.loads((metadata or {})[KEY])
            number = int(values['format'])
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f'The collection of {name} is no gallery of mmtpr. Name '
                'another; a server must be Qdrant 1.16 or newer.'
            ) from None
        if number > FORMAT:
            raise ValueError(
                f'{name} was written by a newer mmtpr (format {number}, this '
                f'one reads up to {FORMAT}). Update mmtpr.'
            )
        known = {one.name for one in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})


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


def point_id(name: str) -> str:
    """Make the id of a point, which Qdrant wants as a UUID.

    Args:
        name (str): Id of an item.

    Returns:
        str: A UUID, always the same.
    """
    return str(uuid.uuid5(_SPACE, name))


def to_payload(value: Any, kind: str) -> Any:
    """Write a value of a column.

    Args:
        value (Any): As Arrow gives it.
        kind (str): Kind of the column.

    Returns:
        Any: As JSON holds it.

    Raises:
        ValueError: If it is an infinite number, which JSON does not hold.
    """
    if kind == 'float' and math.isinf(value):
        raise ValueError('Qdrant holds no infinite numbers: leave them out.')
    return write_time(value) if kind == 'time' else value


def from_payload(value: Any, kind: str) -> Any:
    """Read a value of a column.

    Args:
        value (Any): Of a payload, None where there is none.
        kind (str): Kind of the column.

    Returns:
        Any: As a store in a folder gives it.
    """
    if value is None:
        return None
    if kind == 'float':
        return float(value)
    return read_time(value) if kind == 'time' else value


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
