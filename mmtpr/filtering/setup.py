"""From configs to what scoring needs: data, bank, model, pipeline."""

import hashlib
import json
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from torch import nn

from mmtpr.models.adapters import (
    adapter_state_dict,
    load_adapter_state_dict,
    load_trainable_state_dict,
    trainable_state_dict,
)
from mmtpr.registry import DATASETS, MODELS
from mmtpr.utils import load_weights
from mmtpr.utils.errors import LaunchError

from .bank import read_captions
from .fingerprint import weights_fingerprint
from .pairs import CAPTION_KEYS, Pairs, read_pairs

_WRAPPER = 'RelevanceFilteredDataset'


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


def raw_dataset_cfg(node: Any) -> Any:
    """Take relevance filters out of a data set config, and its pipelines.

    Args:
        node (Any): Config of a data set or a part of it. Not modified.

    Returns:
        Any: Config of the unfiltered data set with empty pipelines.
    """
    if isinstance(node, dict):
        kind = node.get('type', '')
        name = kind if isinstance(kind, str) else kind.__name__
        if name.rsplit('.', 1)[-1] == _WRAPPER:
            return raw_dataset_cfg(node['dataset'])
        return {
            k: [] if k == 'pipeline' else raw_dataset_cfg(v)
            for k, v in node.items()
        }
    if isinstance(node, list | tuple):
        return type(node)(raw_dataset_cfg(value) for value in node)
    return node


def build_raw_dataset(cfg: Config, key: str) -> Any:
    """Build a config's data set without relevance filter and transforms.

    Args:
        cfg (Config): The config.
        key (str): Dotted key of the data set.

    Returns:
        Any: The data set, fully initialised.
    """
    dataset = DATASETS.build(raw_dataset_cfg(get_setting(cfg, key)))
    dataset.full_init()
    return dataset


def load_pairs(
    cfg: Config,
    key: str,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> Pairs:
    """Load the image-caption pairs of a config's data set.

    Args:
        cfg (Config): The config.
        key (str): Dotted key of the data set.
        image_key (str, optional): Key of the image path in an entry.
        caption_key (str, optional): Key of the caption in an entry.

    Returns:
        Pairs: The pairs, unfiltered.
    """
    dataset = build_raw_dataset(cfg, key)
    return read_pairs(dataset, image_key, caption_key)


def load_bank_captions(
    source: str, options: dict | None = None, key: str | None = None
) -> list[str]:
    """Read the captions a bank is drawn from.

    Args:
        source (str): ``.json`` or ``.txt`` file, see
            :func:`mmtpr.filtering.read_captions`, or a ``.py`` config.
        options (dict, optional): Overrides of single keys of the config.
        key (str, optional): Dotted key of the config's data set. Defaults
            to ``'train_dataloader.dataset'``.

    Returns:
        list[str]: The captions.
    """
    if not source.endswith('.py'):
        return read_captions(source)
    cfg = Config.fromfile(source)
    cfg.merge_from_dict(options or {})
    dataset = build_raw_dataset(cfg, key or 'train_dataloader.dataset')
    captions = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        texts = (info.get(k) for k in CAPTION_KEYS)
        captions.extend([t for t in texts if isinstance(t, str)][:1])
    return captions


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
    import mmtpr.datasets.transforms  # noqa: F401  (registers mmcv's)

    return Compose(transforms)


def build_model(
    cfg: Config, checkpoint: str | None, device: str | torch.device
) -> nn.Module:
    """Build a config's model with weights.

    The heads of losses are not needed to score and may differ.

    Args:
        cfg (Config): The config.
        checkpoint (str | None): Checkpoint file, or one of the adapters or
            the trainable weights only. None keeps what the model loads by
            itself.
        device (str | torch.device): Where to put it.

    Returns:
        nn.Module: The model in evaluation mode.

    Raises:
        LaunchError: If the checkpoint is of another model.
    """
    # Whatever is not loaded is at least the same in every process and run.
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    if checkpoint is not None:
        _load(model, checkpoint)
    elif any(getattr(part, 'init_cfg', None) for part in model.modules()):
        model.init_weights()
    return model.to(device).eval()


def scorer_fingerprint(
    model: nn.Module, cfg: Config, pipeline: list[dict]
) -> str:
    """Fingerprint of all that decides an embedding.

    Args:
        model (nn.Module): The model with its weights.
        cfg (Config): Its config.
        pipeline (list[dict]): The transforms.

    Returns:
        str: 32 hexadecimal digits.
    """
    parts = [
        weights_fingerprint(model),
        *(
            json.dumps(_plain(part), sort_keys=True, default=repr)
            for part in (cfg.model, pipeline)
        ),
    ]
    text = '\n'.join(parts).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _load(model: nn.Module, checkpoint: str) -> None:
    content = load_weights(checkpoint)
    state = content.get('state_dict', content)
    if _load_tuned_part(model, state):
        return
    current = model.state_dict()
    state = {
        name: value
        for name, value in state.items()
        if not _is_head(name)
        or (name in current and current[name].shape == value.shape)
    }
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise LaunchError(
            f'The checkpoint "{checkpoint}" does not fit the model: {error}'
        ) from error
    missing = [name for name in missing if not _is_head(name)]
    for names, what in ((missing, 'lacks'), (unexpected, 'has unknown')):
        if names:
            raise LaunchError(
                f'The checkpoint "{checkpoint}" {what} {len(names)} weights, '
                f'e.g. {", ".join(names[:3])}. Is it of this config?'
            )


def _load_tuned_part(model: nn.Module, state: dict) -> bool:
    """Load a checkpoint of the adapters or trainable weights only."""
    for keys_of, load in (
        (adapter_state_dict, load_adapter_state_dict),
        (trainable_state_dict, load_trainable_state_dict),
    ):
        if state and set(state) == set(keys_of(model)):
            load(model, state)
            return True
    return False


def _is_head(name: str) -> bool:
    return 'losses' in name.split('.')


def _first_pipeline(node: Any) -> list[dict] | None:
    if isinstance(node, dict):
        if node.get('pipeline'):
            return node['pipeline']
        node = list(node.values())
    if not isinstance(node, list | tuple):
        return None
    return next((f for f in map(_first_pipeline, node) if f), None)


def _plain(node: Any) -> Any:
    if isinstance(node, ConfigDict | dict):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return node
