"""Weights below adapters, for a checkpoint that does not have them."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from .completeness import is_adapter, may_lack
from .read import read_checkpoint

#: Setting of an encoder -> names it brings weights for, within the encoder.
WEIGHT_SETTINGS = {
    'pretrained': r'.*',
    'image_pretrained': r'vision\..*',
    'text_pretrained': r'bert\.(?!.*crossattention).*',
}


def base_weights(
    model: nn.Module,
    given: Collection[str],
    cfg: Config,
    load_from: str | None = None,
) -> dict[str, Tensor]:
    """Find the weights that a checkpoint lacks, or stop.

    Args:
        model (nn.Module): The model, built and initialised.
        given (Collection[str]): Names in the checkpoint.
        cfg (Config): The config of the model.
        load_from (str, optional): A full checkpoint of this model to take
            them from; None for ``load_from`` of the config.

    Returns:
        dict[str, Tensor]: Weights to load beside the checkpoint; what is
        missing still has been brought by ``pretrained`` or ``init_cfg``,
        or is of a head of a loss.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If some would be random: the checkpoint has gaps, or
            neither the file nor the config brings what it lacks.
    """
    missing = [
        key
        for key in model.state_dict()
        if key not in given and not is_head(key) and not may_lack(key)
    ]
    if not missing:
        return {}
    below = {
        name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad and not is_adapter(name)
    }
    if not load_from and below & set(given):
        raise ValueError(
            'The checkpoint has weights below the adapters, but '
            f'{_listed(missing)} are not there: it is of another config or '
            'not whole. --load-from FILE takes them from another checkpoint.'
        )
    found = _of_file(missing, load_from or cfg.get('load_from'))
    brought = list(brought_by(cfg.model))
    bare = [
        key
        for key in missing
        if key not in found and not any(p.fullmatch(key) for p in brought)
    ]
    if bare:
        raise ValueError(
            f'The checkpoint lacks {_listed(bare)}, and nothing brings them: '
            'they would be random. Three ways: pretrained in the config, or '
            'by --cfg-options (weights without adapters); load_from in the '
            'config, or --load-from FILE (a full checkpoint of this model); '
            'or a full checkpoint instead.'
        )
    return found


def is_head(key: str) -> bool:
    """Tell a weight of a loss, which only training needs.

    Args:
        key (str): Name of the weight.

    Returns:
        bool: True if it is.
    """
    return 'losses' in key.split('.')


def brought_by(node: Any, path: str = '') -> Iterator[re.Pattern]:
    """Names of the weights that a config of a model reads from files.

    Args:
        node (Any): The config or a part of it.
        path (str): Where the part is in the model, with a dot at its end.

    Yields:
        re.Pattern: Whole names.
    """
    prefix = re.escape(path)
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in WEIGHT_SETTINGS and value:
            yield re.compile(prefix + WEIGHT_SETTINGS[key])
        elif key == 'init_cfg':
            values = value if isinstance(value, (list, tuple)) else [value]
            if any(map(_reads_file, values)):
                yield re.compile(prefix + '.*')
        else:
            yield from brought_by(value, f'{path}{key}.')


def _reads_file(init_cfg: Any) -> bool:
    return (
        isinstance(init_cfg, dict)
        and 'Pretrained' in str(init_cfg.get('type'))
        and bool(init_cfg.get('checkpoint'))
    )


def _of_file(missing: list[str], path: str | None) -> dict[str, Tensor]:
    """Take the missing weights that a checkpoint has."""
    if not path:
        return {}
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'The checkpoint has no weights below the adapters, and '
            f'"{path}" (load_from), which should have them, does not exist. '
            '--load-from FILE says where it is.'
        )
    state = read_checkpoint(path).state
    return {key: state[key] for key in missing if key in state}


def _listed(keys: list[str]) -> str:
    return f'{len(keys)} weights (e.g. {", ".join(keys[:3])})'
