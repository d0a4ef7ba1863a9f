"""Parts of a config, found by key or by what they are."""

from typing import Any

import mmcv.transforms  # noqa: F401  (registers its transforms)
from mmengine.config import Config
from mmengine.dataset import Compose

from .errors import LaunchError


def get_setting(cfg: Config, key: str) -> Any:
    """Look a dotted key up in a config.

    Args:
        cfg (Config): The config.
        key (str): E.g. ``'train_dataloader.dataset.datasets.0'``.

    Returns:
        Any: What is there.

    Raises:
        LaunchError: If there is nothing.
    """
    node: Any = cfg
    for part in key.split('.'):
        try:
            node = node[int(part) if isinstance(node, list) else part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise LaunchError(
                f'The config "{cfg.filename}" has no "{key}": "{part}" is '
                'not there.'
            ) from None
    return node


def find_pipeline(cfg: Config, key: str | None = None) -> list[dict]:
    """Find the transforms without randomness: those of the test data.

    Args:
        cfg (Config): The config.
        key (str, optional): Dotted key of the transforms. Defaults to None:
            the first pipeline in ``test_dataloader``, else in
            ``val_dataloader``.

    Returns:
        list[dict]: The transforms.

    Raises:
        LaunchError: If there are none.
    """
    if key is not None:
        return get_setting(cfg, key)
    for name in ('test_dataloader', 'val_dataloader'):
        found = _first_pipeline(cfg.get(name))
        if found:
            return found
    raise LaunchError(
        f'The config "{cfg.filename}" has no test_dataloader with a pipeline '
        'to read images with. Name one with --pipeline KEY.'
    )


def build_pipeline(transforms: list[dict]) -> Compose:
    """Compose transforms.

    Args:
        transforms (list[dict]): Their configs.

    Returns:
        Compose: The pipeline.
    """
    return Compose(transforms)


def _first_pipeline(node: Any) -> list[dict] | None:
    if isinstance(node, dict):
        if node.get('pipeline'):
            return node['pipeline']
        node = list(node.values())
    if not isinstance(node, list | tuple):
        return None
    return next((f for f in map(_first_pipeline, node) if f), None)
