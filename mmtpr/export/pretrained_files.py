"""Files of a saved retriever: config as plain data, and safetensors."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmtpr.checkpoints import Checkpoint
from mmtpr.checkpoints.base_weights import WEIGHT_SETTINGS
from mmtpr.checkpoints.coverage import TRAINING_ONLY, unused_keys
from mmtpr.checkpoints.function_facts import FACTS, facts_of, function_facts
from mmtpr.checkpoints.read import read_named
from mmtpr.checkpoints.spared_files import without_weights
from mmtpr.converters.adapted_models import greatest_gap, probe
from mmtpr.gallery.identity import ModelIdentity
from mmtpr.gallery.manifest import file_checksum
from mmtpr.models.adapters import (
    AdapterModel,
    merge_adapters,
    named_adapters,
    trainable_state_dict,
)
from mmtpr.models.build import load_for_use
from mmtpr.registry import MODELS
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.io import read_json

from .onnx_folder import check_parts, has_kind
from .portable_config import open_tokenizers, plain_data
from .safe_config import check_config

#: Names of the files, which are those of the hub.
CONFIG, WEIGHTS = 'config.json', 'model.safetensors'
KIND = 'mmtpr retriever'
VERSION = 1
#: Greatest difference of features, of the largest, that merging may make.
_TOLERANCE = 1e-4


@dataclass
class SavedParts:
    """What is written of a model.

    Attributes:
        cfg (dict): Its config, plain data, which reads no file of this
            machine.
        state (dict[str, Tensor]): Weights.
        facts (dict): See :mod:`mmtpr.checkpoints.function_facts`.
        base (list[str]): Names of the weights below the adapters; empty where
            all weights are in ``state``.
    """

    cfg: dict[str, Any]
    state: dict[str, Tensor]
    facts: dict[str, Any]
    base: list[str]


def merged_parts(model: nn.Module, cfg: Any) -> SavedParts:
    """Take a model as a whole, adapters merged.

    Args:
        model (nn.Module): A retriever, which stays as it is.
        cfg (dict): Its part of the config.

    Returns:
        SavedParts: Without what only training needs.

    Raises:
        LaunchError: If merging changes the features.
    """
    plain_cfg = _without_training(model, plain_data(cfg, 'model'))
    if any(True for _ in named_adapters(model)):
        merged = merge_adapters(copy.deepcopy(model), remove=True).eval()
        _check_merged(model, merged)
        model, plain_cfg = merged, _without_adapters(plain_cfg)
    facts = function_facts(model)
    unused = unused_keys(model)
    state = {k: v for k, v in model.state_dict().items() if not unused(k)}
    told = without_weights(_settled(plain_cfg, facts))
    return SavedParts(told, _own_tensors(state), facts, [])


def adapter_parts(model: nn.Module, cfg: Any) -> SavedParts:
    """Take what was trained, and the names of the weights below.

    Args:
        model (nn.Module): A retriever with adapters.
        cfg (dict): Its part of the config, which names these weights.

    Returns:
        SavedParts: Adapters and whatever else trains.

    Raises:
        LaunchError: If there are no adapters, no name of weights, or one that
            is a file of this machine.
    """
    if not any(True for _ in named_adapters(model)):
        raise LaunchError('The model has no adapters: save it merged.')
    plain_cfg = _without_training(model, plain_data(cfg, 'model'))
    base = list(_base_names(plain_cfg))
    local = [name for name in base if Path(name).exists()]
    if not base or local:
        found = (
            f'"{local[0]}" is a file of this machine'
            if local
            else ('the config names none (pretrained)')
        )
        raise LaunchError(
            'Adapters alone are of use with weights that others can get, and '
            f'{found}. Save the model merged.'
        )
    facts = function_facts(model)
    unused = unused_keys(model)
    state = {
        k: v for k, v in trainable_state_dict(model).items() if not unused(k)
    }
    return SavedParts(plain_cfg, _own_tensors(state), facts, base)


def _own_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that share no memory, as safetensors wants them."""
    return {k: v.detach().cpu().clone().contiguous() for k, v in state.items()}


def _check_merged(model: nn.Module, merged: nn.Module) -> None:
    gaps = greatest_gap(probe(model), probe(merged))
    kind = max(gaps, key=lambda name: gaps[name], default='')
    if kind and not gaps[kind] <= _TOLERANCE:
        raise LaunchError(
            f'Merging the adapters changes the {kind} features by '
            f'{gaps[kind]:.2g} of the largest (allowed: {_TOLERANCE:g}). '
            'Nothing was written; save the adapters alone.'
        )


def _without_training(model: nn.Module, cfg: dict[str, Any]) -> dict:
    """Without the losses and heads that only training needs."""
    only = getattr(type(model), TRAINING_ONLY, ())
    names = {start.partition('.')[0] for start in only}
    return {key: value for key, value in cfg.items() if key not in names}


def _without_adapters(node: Any) -> Any:
    """A config with the modules in the places of the adapters around them."""
    if isinstance(node, list):
        return [_without_adapters(item) for item in node]
    if not isinstance(node, dict):
        return node
    kind = MODELS.get(node['type']) if 'type' in node else None
    if isinstance(kind, type) and issubclass(kind, AdapterModel):
        return _without_adapters(node['module'])
    return {key: _without_adapters(value) for key, value in node.items()}


def _settled(node: Any, facts: Mapping, path: str = '') -> Any:
    """A config that says itself what names of weights decide."""
    if isinstance(node, list):
        return [_settled(x, facts, f'{path}{i}.') for i, x in enumerate(node)]
    if not isinstance(node, dict):
        return node
    kind = str(node.get('type', '')).rpartition('.')[2]
    if kind == 'OpenCLIPEncoder':
        from mmtpr.models.encoders.open_clip.build import model_config

        known = facts_of({FACTS: facts}, path.rstrip('.'))
        names = ('quick_gelu', 'context_length', 'image_mean', 'image_std')
        node = dict(
            node,
            model=model_config(node['model']),
            image_size=known['image_size'],
            **{name: known[name] for name in names},
        )
    return {k: _settled(v, facts, f'{path}{k}.') for k, v in node.items()}


def _base_names(node: Any):
    """Names of weights in a config."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in WEIGHT_SETTINGS and value:
            yield str(value)
        else:
            yield from _base_names(value)


def is_pretrained_folder(path: Any) -> bool:
    """Tell whether a path is the folder of a saved retriever.

    Args:
        path (Any): Such as what a user gave in place of a config.

    Returns:
        bool: True if it has a config of this kind.
    """
    return has_kind(path, CONFIG, KIND)


def read_pretrained(folder: str | Path) -> Config:
    """Read the config of a saved retriever; nothing of it is executed.

    Args:
        folder (str | Path): The folder.

    Returns:
        Config: Model, pipeline of the test data and evaluator;
        ``pretrained_folder`` names the folder.

    Raises:
        FileNotFoundError: If there is no config.
        LaunchError: If it names what is no part of mmtpr.
        ValueError: If it is of a newer mmtpr, or of something else.
    """
    folder = Path(folder)
    data = read_json(folder / CONFIG, 'config')
    if not isinstance(data, dict) or data.get('kind') != KIND:
        raise ValueError(
            f'"{folder / CONFIG}" is no config of a retriever of mmtpr, as '
            'PretrainedRetriever.save_pretrained writes it.'
        )
    check_parts(data, folder / CONFIG, version=int)
    if data['version'] > VERSION:
        raise ValueError(
            f'The model "{folder}" has layout {data["version"]}, and this '
            f'mmtpr reads up to {VERSION}: update mmtpr.'
        )
    check_parts(data, folder / CONFIG, identity=dict, config=dict)
    check_parts(data['config'], folder / CONFIG, model=dict)
    check_config(data['config'], str(folder))
    cfg = open_tokenizers(data['config'], folder)
    return Config(dict(cfg, pretrained_folder=str(folder)))


def build_pretrained(
    cfg: Config, device: str | torch.device = 'cpu'
) -> nn.Module:
    """Build a saved retriever.

    Args:
        cfg (Config): Of :func:`read_pretrained`.
        device (str | device): Where to put it. Defaults to ``'cpu'``.

    Returns:
        nn.Module: The model in evaluation mode, with ``identity`` where its
        weights are those that were saved.

    Raises:
        LaunchError: If keys are missing, unexpected or mismatched.
    """
    folder = Path(cfg.pretrained_folder)
    data = read_json(folder / CONFIG, 'config')
    found = read_named(str(folder / WEIGHTS))
    found = Checkpoint(
        found.path, found.state, meta={FACTS: data.get('facts') or {}}
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    load_for_use(model, found, cfg.model)
    if file_checksum(folder / WEIGHTS) == data.get('weights'):
        model.identity = ModelIdentity.from_dict(data['identity'])
    return model.to(device).eval()
