"""Files of weights that a full checkpoint makes needless."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmtpr.registry import MODELS
from mmtpr.utils.errors import LaunchError

from .base_weights import WEIGHT_SETTINGS, brought_by
from .coverage import unused_keys
from .fit import Fit
from .function_facts import FACTS, plain_path
from .read import Checkpoint


def spare_pretrained(cfg: Any, found: Checkpoint) -> Any:
    """Take out of a config the files that a full checkpoint makes needless.

    A moved file, or one of another machine, then stops nothing.

    Args:
        cfg (dict): Config of the model, not changed.
        found (Checkpoint): What will be loaded afterwards.

    Returns:
        dict: The same config, or one that reads no file. The same where the
        checkpoint holds a part only, or where what the model computes depends
        on the file in a way that nothing else tells.
    """
    if not any(True for _ in brought_by(cfg)):
        return cfg
    plain = copy.deepcopy(cfg)
    plain = plain.to_dict() if hasattr(plain, 'to_dict') else plain
    facts = found.meta.get(FACTS) or {}
    try:
        plain = without_weights(_keep_functions(plain, facts))
        model = build_on_meta(plain)
    except (_NotToldError, LaunchError, ValueError, ImportError):
        return cfg
    unused = unused_keys(model)
    fit = Fit.of(found.state, model.state_dict())
    fit = fit.without(unused, unused, unused)
    return plain if fit.whole else cfg


def build_on_meta(cfg: Any) -> nn.Module:
    """Build a model that takes no memory, where its parts allow that.

    Args:
        cfg (dict): Config of the model; it should name no file.

    Returns:
        nn.Module: The model, on the meta device unless a part of it computes
        with tensors while it is built.
    """
    try:
        with torch.device('meta'):
            return MODELS.build(cfg)
    except (NotImplementedError, RuntimeError):
        return MODELS.build(cfg)


class _NotToldError(Exception):
    """Neither config nor checkpoint tells what a file decides."""


def without_weights(node: Any) -> Any:
    """Take all files of weights out of a config.

    Args:
        node (Any): Config of a model or a part of it, plain dicts and lists.

    Returns:
        Any: A copy that reads no file.
    """
    if isinstance(node, (list, tuple)):
        return type(node)(without_weights(item) for item in node)
    if not isinstance(node, dict):
        return node
    return {
        key: None
        if key in (*WEIGHT_SETTINGS, 'init_cfg')
        else without_weights(value)
        for key, value in node.items()
    }


def _keep_functions(node: Any, facts: Mapping, path: str = '') -> Any:
    """Write into a config what the files in it decide."""
    if isinstance(node, (list, tuple)):
        return type(node)(
            _keep_functions(item, facts, f'{path}{i}.')
            for i, item in enumerate(node)
        )
    if not isinstance(node, dict):
        return node
    kind = str(node.get('type', '')).rpartition('.')[2]
    if kind == 'OpenCLIPEncoder' and node.get('pretrained'):
        known = facts.get(plain_path(path.rstrip('.'))) or {}
        node = dict(node, quick_gelu=_quick_gelu(node, known))
        for name in ('image_mean', 'image_std'):
            node.setdefault(name, known.get(name))
    return {
        key: _keep_functions(value, facts, f'{path}{key}.')
        for key, value in node.items()
    }


def _quick_gelu(node: Mapping, known: Mapping) -> bool | None:
    """The activation, which an archive of OpenAI may decide."""
    if node.get('quick_gelu') is not None:
        return node['quick_gelu']
    if known.get('quick_gelu') is not None:
        return known['quick_gelu']
    import open_clip  # takes a second, and other encoders do without

    name, tag = str(node.get('model')), str(node['pretrained'])
    told = open_clip.get_pretrained_cfg(name.replace('/', '-'), tag)
    if not told:
        raise _NotToldError
    return bool(told.get('quick_gelu')) or None
