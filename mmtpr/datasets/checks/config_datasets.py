"""Finding the datasets of a config below their wrappers."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset

from mmtpr.registry import DATASETS

_LOADERS = dict(
    train_dataloader='train', val_dataloader='val', test_dataloader='test'
)


def leaf_datasets(cfg: Config) -> Iterator[tuple[str, type | None, dict]]:
    """Walk over the datasets of a config, without their wrappers.

    Args:
        cfg (Config): A config with data loaders.

    Yields:
        tuple[str, type | None, dict]: ``'train'``, ``'val'`` or ``'test'``
        for the loader, the class, None if it is unknown, and the config.
    """
    for loader, use in _LOADERS.items():
        for node in _leaves((cfg.get(loader) or {}).get('dataset')):
            kind = node.get('type')
            kind = DATASETS.get(kind) if isinstance(kind, str) else kind
            yield use, kind, node


def build_lenient(kind: type, node: dict, **changes: Any) -> BaseDataset:
    """Build a dataset that is not loaded, and stops at nothing it counts.

    Args:
        kind (type): The class.
        node (dict): Its config.
        **changes: Arguments that are set beside.

    Returns:
        BaseDataset: Without pipeline.
    """
    arguments = {k: v for k, v in node.items() if k not in ('type', '_scope_')}
    arguments.update(
        pipeline=[],
        lazy_init=True,
        indices=None,
        empty_captions='skip',
        broken_images='error',
        **changes,
    )
    return kind(**arguments)


def _leaves(node: Any) -> list[dict]:
    """Innermost dataset configs of nested wrappers."""
    if isinstance(node, (list, tuple)):
        return [leaf for item in node for leaf in _leaves(item)]
    if not isinstance(node, dict):
        return []
    inner = [node[key] for key in ('dataset', 'datasets') if key in node]
    return _leaves(inner) if inner else [node]
