"""The model whose vectors a store holds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from mmtpr.utils.fingerprint import settings_fingerprint, weights_fingerprint


@dataclass(frozen=True)
class ModelIdentity:
    """What decides the vectors of an image.

    Attributes:
        model (str): Fingerprint of the model's settings, or any name of it.
        weights (str): Fingerprint of its weights.
        transforms (str): Fingerprint of the transforms of images.
    """

    model: str
    weights: str
    transforms: str

    @classmethod
    def of(
        cls, module: nn.Module, settings: Any, transforms: Any
    ) -> 'ModelIdentity':
        """Find the identity of a model.

        Args:
            module (nn.Module): The model with its weights.
            settings (Any): Its part of the config.
            transforms (Any): The transforms, as a config or built.

        Returns:
            ModelIdentity: The identity.
        """
        return cls(
            settings_fingerprint(settings),
            weights_fingerprint(module),
            settings_fingerprint(transforms),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> 'ModelIdentity':
        """Read an identity.

        Args:
            values (Mapping[str, str]): Result of :meth:`to_dict`.

        Returns:
            ModelIdentity: The identity.

        Raises:
            ValueError: If a part is absent.
        """
        names = [field.name for field in fields(cls)]
        if absent := [name for name in names if name not in values]:
            raise ValueError(
                f'The identity of a model has no {", ".join(absent)}.'
            )
        return cls(*(str(values[field.name]) for field in fields(cls)))

    def to_dict(self) -> dict[str, str]:
        """Write the identity.

        Returns:
            dict[str, str]: Its parts by name.
        """
        return asdict(self)

    def check(self, given: 'ModelIdentity', store: str) -> None:
        """Refuse vectors of another model.

        Args:
            given (ModelIdentity): Of the vectors.
            store (str): Name of the store whose identity this is.

        Raises:
            ValueError: If they differ, with both named.
        """
        theirs = given.to_dict()
        differ = [
            f'{name} "{value}" there, "{theirs[name]}" here'
            for name, value in self.to_dict().items()
            if value != theirs[name]
        ]
        if differ:
            raise ValueError(
                f'The store "{store}" holds vectors of another model '
                f'({"; ".join(differ)}). Use the model it was made with, or '
                'make another store.'
            )
