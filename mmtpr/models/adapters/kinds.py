"""Kinds of adapters, by the name used in configs."""

from typing import Any, NamedTuple

from torch import nn

from .conv import DoRAConv2d, LoRAConv2d, WoRAConv2d
from .dora import DoRALinear
from .layer import AdapterLayer
from .lora import LoRALinear
from .oft import OFTLinear
from .wora import WoRALinear

#: Adapters of linear layers by the name used in configs.
ADAPTERS: dict[str, type[AdapterLayer]] = {
    'WoRA': WoRALinear,
    'DoRA': DoRALinear,
    'LoRA': LoRALinear,
    'OFT': OFTLinear,
}
#: Adapters of convolutions by the name used in configs.
CONV_ADAPTERS: dict[str, type[AdapterLayer]] = {
    'WoRA': WoRAConv2d,
    'DoRA': DoRAConv2d,
    'LoRA': LoRAConv2d,
}


class Kind:
    """An adapter for linear layers, one for convolutions, or both.

    Args:
        kind (str | type): A name of :data:`ADAPTERS` or a class of adapters.

    Raises:
        ValueError: If there is no such adapter.
    """

    def __init__(self, kind: Any) -> None:
        self.linear: type[AdapterLayer] | None = None
        self.conv: type[AdapterLayer] | None = None
        if isinstance(kind, type) and issubclass(kind, AdapterLayer):
            kind = self._name_of(kind)
        if isinstance(kind, str) and kind in ADAPTERS:
            self.linear = ADAPTERS[kind]
            self.conv = CONV_ADAPTERS.get(kind)
        elif not isinstance(kind, type):
            raise ValueError(
                f'Unknown adapter type {kind!r}; choose from '
                f'{", ".join(ADAPTERS)}.'
            )
        elif getattr(kind, 'wraps', None) is nn.Conv2d:
            self.conv = kind
        else:
            self.linear = kind

    @staticmethod
    def _name_of(kind: type[AdapterLayer]) -> Any:
        """The name of a class of ours; a class of one's own stays."""
        both = (*ADAPTERS.items(), *CONV_ADAPTERS.items())
        return next((name for name, own in both if own is kind), kind)

    @property
    def name(self) -> str:
        """Name of the class, for messages."""
        found: Any = self.linear or self.conv
        return found.__name__

    def of(self, layer: Any) -> type[AdapterLayer] | None:
        """The adapter for a layer.

        Args:
            layer (nn.Module): The layer.

        Returns:
            type | None: Its class, None if this kind has none.
        """
        is_conv = isinstance(layer, nn.Conv2d)
        return self.conv if is_conv else self.linear


class Plan(NamedTuple):
    """Adapter and options of one target.

    Attributes:
        kind (Kind): The adapter.
        options (dict): Its options.
        convs (bool, optional): Whether convolutions are meant; None: where
            the target names nothing else.
    """

    kind: Kind
    options: dict[str, Any]
    convs: bool | None
