"""Which weights of a model a test can do without in a checkpoint."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

_BOTH = ('image_pretrained', 'text_pretrained')


@dataclass(frozen=True)
class Spared:
    """Names that may differ between a checkpoint and a model to be tested.

    Attributes:
        unused (tuple[str, ...]): Starts of names that a test does not use.
        kept (frozenset[str]): Names that the file lacks by design: below its
            adapters or its query maker are pretrained weights of the config.
        tuned (tuple[str, ...]): Those of ``kept`` that training changes, and
            that the file therefore should have.
        hint (str): Why nothing is kept though the file looks like it.
    """

    unused: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()
    tuned: tuple[str, ...] = ()
    hint: str = field(default='', compare=False)


def spared_in_test(
    model: nn.Module, given: Collection[str], cfg: Any = None
) -> Spared:
    """Say what may differ where a model is tested, and nothing else.

    A retriever is tested without its losses and the head of its training.
    A file of adapters alone (``AdapterCheckpointHook``), or one without
    encoder (a converted TINet), is meant for a config whose encoder has
    pretrained weights: the encoder's other weights may be missing then, and
    in any other model those that are frozen.

    Args:
        model (nn.Module): The model, not wrapped.
        given (Collection[str]): Names of the checkpoint.
        cfg (dict, optional): Config of the model, which tells whether it
            starts from pretrained weights.

    Returns:
        Spared: What may differ.
    """
    # Here, because hooks are imported by projects without adapters too.
    from mmtpr.models.adapters import adapter_state_dict, trainable_state_dict

    given, own = set(given), set(model.state_dict())
    adapters = set(adapter_state_dict(model))
    tuned = set(trainable_state_dict(model))
    unused, encoder = _parts_of_retriever(model)
    part = (own - tuned) | adapters
    if encoder:
        part = {name for name in own if name.startswith(encoder)}
    if not _is_partial(given, own, part, adapters, tuned, unused):
        return Spared(unused)
    if not starts_from_weights(cfg):
        hint = (
            ' The file has no weights below its adapters or beside its query '
            'maker, and the config names none either: set pretrained.'
        )
        return Spared(unused, hint=hint)
    kept = part - given
    return Spared(unused, frozenset(kept), tuple(sorted(kept & tuned)))


def _parts_of_retriever(model: nn.Module) -> tuple[tuple[str, ...], str]:
    """How names start that a test does not use, and those of the encoder."""
    from mmtpr.models.retrievers import (
        ComposedPersonRetriever,
        TextPersonRetriever,
    )

    for name, module in model.named_modules():
        if isinstance(module, TextPersonRetriever):
            prefix = f'{name}.' if name else ''
            unused = [f'{prefix}losses.']
            if isinstance(module, ComposedPersonRetriever):
                unused.append(f'{prefix}head.')
            return tuple(unused), f'{prefix}encoder.'
    return (), ''


def _is_partial(
    given: set[str],
    own: set[str],
    part: set[str],
    adapters: set[str],
    tuned: set[str],
    unused: tuple[str, ...],
) -> bool:
    """Whether a file has all adapters of a part, or nothing of it."""
    if adapters:
        frozen = part - tuned
        return adapters <= given and not frozen & given
    used = {name for name in given & own if not name.startswith(unused)}
    return bool(part and used) and not part & given


def starts_from_weights(cfg: Any) -> bool:
    """Whether a config names pretrained weights.

    Args:
        cfg (Any): Config of a model, or a part of it.

    Returns:
        bool: True for ``pretrained``, ``image_pretrained`` together with
        ``text_pretrained``, or an ``init_cfg`` of type ``Pretrained``.
    """
    return any(
        bool(node.get('pretrained'))
        or all(node.get(name) for name in _BOTH)
        or ('Pretrained' in str(node.get('type')) and node.get('checkpoint'))
        for node in _dicts(cfg)
    )


def _dicts(node: Any) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _dicts(value)


def grouped_names(
    names: Collection[str], others: Collection[str], limit: int = 12
) -> str:
    """Write names so that all of them fit into a message.

    Args:
        names (Collection[str]): The names.
        others (Collection[str]): Names that no group may cover.
        limit (int): Groups that are written out. Defaults to 12.

    Returns:
        str: Such as ``'query.tinets.2.* (6), logit_scale'``.
    """
    covered = {start for name in others for start in _starts(name)}
    groups: dict[str, list[str]] = {}
    for name in names:
        free = (s for s in _starts(name) if s not in covered)
        groups.setdefault(next(free, name), []).append(name)
    texts = [
        f'{start}.* ({len(found)})' if len(found) > 1 else found[0]
        for start, found in groups.items()
    ]
    more = len(texts) - limit
    return ', '.join(texts[:limit]) + (f' and {more} more' * (more > 0))


def _starts(name: str) -> list[str]:
    """``a.b.c`` -> ``a``, ``a.b``."""
    parts = name.split('.')
    return ['.'.join(parts[:i]) for i in range(1, len(parts))]
