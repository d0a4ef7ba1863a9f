"""Freezing of parts of a model, and the modes of frozen layers."""

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from .name_patterns import compile_patterns, covers

#: Name of a part -> patterns of the parameters or modules that it consists of.
Parts = Mapping[str, Sequence[str]]


def freeze(
    module: nn.Module, parts: Parts, frozen: Sequence[str] | str
) -> tuple[str, ...]:
    """Freeze named parts of a module.

    Args:
        module (nn.Module): Changed in place.
        parts (Parts): The parts it has. A pattern must match the whole name
            of a parameter, or of a module, all of whose parameters freeze. A
            parameter with two names counts under the first.
        frozen (Sequence[str] | str): The parts that shall not train.

    Returns:
        tuple[str, ...]: The frozen parts.

    Raises:
        ValueError: If a part is unknown, or the module lacks what a pattern
            names.
    """
    frozen = (frozen,) if isinstance(frozen, str) else tuple(frozen)
    unknown = [part for part in frozen if part not in parts]
    if unknown:
        raise ValueError(
            f'frozen takes {sorted(parts)}, got '
            f'{", ".join(map(str, unknown))}.'
        )
    parameters = dict(module.named_parameters())
    for pattern in _patterns(parts, frozen):
        names = [name for name in parameters if covers(pattern, name)]
        if not names:
            raise ValueError(
                f'{type(module).__name__} has no parameter '
                f'{pattern.pattern!r} to freeze.'
            )
        for name in names:
            parameters[name].requires_grad_(False)
    return frozen


def frozen_layers(
    module: nn.Module, parts: Parts, frozen: Sequence[str]
) -> list[nn.Module]:
    """Find the layers of frozen parts, what adapters brought included.

    Args:
        module (nn.Module): The module.
        parts (Parts): See :func:`freeze`.
        frozen (Sequence[str]): See :func:`freeze`.

    Returns:
        list[nn.Module]: Modules at all depths.
    """
    patterns = _patterns(parts, frozen)
    return [
        layer
        for name, layer in module.named_modules()
        if any(covers(pattern, name) for pattern in patterns)
    ]


def rest_frozen(layers: Iterable[nn.Module]) -> None:
    """Put frozen layers into evaluation, but for what trains in them.

    To be called after a model's mode is set. A frozen layer rests: its
    dropout is off and its batch norms keep their statistics. A layer with a
    parameter of its own that trains (an adapter, a norm that was thawed)
    keeps the mode of the model, and so does the adapter's dropout, which is a
    part of that layer.

    Args:
        layers (Iterable[nn.Module]): Layers of frozen parts, each of which is
            set by itself: give submodules too.
    """
    for layer in layers:
        if not _follows(layer):
            layer.training = False


def _follows(layer: nn.Module) -> bool:
    if any(p.requires_grad for p in layer.parameters(recurse=False)):
        return True
    # transformers recomputes activations in layers of training mode only.
    return getattr(layer, 'gradient_checkpointing', False) and any(
        p.requires_grad for p in layer.parameters()
    )


def _patterns(parts: Parts, names: Iterable[str]) -> list:
    return [
        pattern
        for name in names
        for pattern in compile_patterns(parts[name], f'part {name!r}')
    ]
