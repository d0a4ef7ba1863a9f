"""What a collection of Qdrant says of itself as a gallery."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: Format that this mmtpr writes, and the key of the metadata that holds it.
FORMAT, KEY = 1, 'mmtpr'


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
