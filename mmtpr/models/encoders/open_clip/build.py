"""Building models of open_clip without weights."""

import copy
import difflib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from mmengine.logging import print_log
from torch import nn

from mmtpr.utils import read_json, require

from .weights import ClipWeights

_PARTS = ('embed_dim', 'vision_cfg', 'text_cfg')


def model_config(model: str | PathLike | dict) -> dict[str, Any]:
    """Find the config of a model of open_clip.

    Args:
        model (str | PathLike | dict): A name (``open_clip.list_models()``),
            ``hf-hub:org/repo``, ``local-dir:folder``, the path of a json
            file, or the config itself.

    Returns:
        dict: A copy with ``embed_dim``, ``vision_cfg`` and ``text_cfg``.

    Raises:
        ValueError: If the name is unknown or a part is missing.
    """
    if isinstance(model, dict):
        config, where = json.loads(json.dumps(model)), 'The model config'
    elif str(model).endswith('.json'):
        config = read_json(model, 'model config', 'docs/user_guides/data.md')
        where = f'The model config "{model}"'
    else:
        config, where = _named_config(str(model)), f'Model "{model}"'
    config = copy.deepcopy(config.get('model_cfg', config))
    absent = [part for part in _PARTS if part not in config]
    if absent:
        raise ValueError(
            f'{where} lacks {", ".join(absent)}; open_clip needs '
            f'{", ".join(_PARTS)}.'
        )
    return config


def _named_config(name: str) -> dict[str, Any]:
    try:
        config = open_clip.get_model_config(
            name.replace('/', '-') if ':' not in name else name
        )
    except Exception as error:
        raise ValueError(
            f'The config of model "{name}" cannot be downloaded ({error}). '
            '"hf-hub:" needs the network; offline, give the path of a json '
            'file or of a "local-dir:".'
        ) from error
    if config is None:
        known = open_clip.list_models()
        close = difflib.get_close_matches(name, known, 3) or known[:3]
        raise ValueError(
            f'open_clip knows no model "{name}". Close names: '
            f'{", ".join(close)}; all: open_clip.list_models(). A model of '
            'your own is given as a config dict or json file.'
        )
    return config


def create_clip(config: dict[str, Any]) -> nn.Module:
    """Create a model with random weights.

    Args:
        config (dict): Model config, see :func:`model_config`.

    Returns:
        nn.Module: ``open_clip.CLIP``, ``CustomTextCLIP`` or ``CoCa``.

    Raises:
        ImportError: If the text tower needs transformers, which is absent.
        ValueError: If the text tower's config is on the hub and that cannot
            be reached.
    """
    hf_name = config['text_cfg'].get('hf_model_name')
    if hf_name:
        require('transformers', 'blip2', f'The text tower "{hf_name}"')
    with TemporaryDirectory() as folder, _without_notes():
        path = Path(folder) / 'open_clip_config.json'
        path.write_text(json.dumps({'model_cfg': config}), encoding='utf-8')
        try:
            return open_clip.create_model(
                f'local-dir:{folder}',
                device=torch.get_default_device(),
                load_weights=False,
                pretrained_image=False,
                pretrained_text=False,
            )
        except OSError as error:
            raise ValueError(
                f'The text tower "{hf_name}" cannot be read ({error}). It '
                'comes from the Hugging Face hub; offline, set '
                'text_cfg.hf_model_name to a local folder.'
            ) from error


def set_activation(
    config: dict, quick_gelu: bool | None, weights: ClipWeights | None
) -> None:
    """Choose between GELU and QuickGELU.

    Args:
        config (dict): Model config, changed in place.
        quick_gelu (bool, optional): The user's choice. None leaves it to the
            config and to what is known of the weights.
        weights (ClipWeights, optional): The weights to be loaded.

    Raises:
        ValueError: If the weights were saved from an encoder of another
            activation than the one asked for.
    """
    told = weights.facts.get('quick_gelu') if weights else None
    asked = config.get('quick_gelu') or None
    asked = asked if quick_gelu is None else quick_gelu
    if weights and None not in (told, asked) and told != asked:
        raise ValueError(
            f'"{weights.source}" was trained with quick_gelu={told}, but the '
            f'encoder is to have quick_gelu={asked}: the same weights would '
            'give other features. Take quick_gelu out, or another model.'
        )
    if quick_gelu is not None:
        config['quick_gelu'] = quick_gelu
    elif told is not None:
        config['quick_gelu'] = told
    elif weights and weights.quick_gelu and not config.get('quick_gelu'):
        config['quick_gelu'] = True
        print_log(
            f'Weights {weights.source} were trained with QuickGELU, so the '
            'model uses it. Write quick_gelu=True to keep that when pretrained'
            ' changes.',
            logger='current',
        )


def set_image_size(
    config: dict, image_size: tuple[int, int] | int | None
) -> tuple[int, int] | None:
    """Put the image size into the config where open_clip takes it.

    Args:
        config (dict): Model config, changed in place.
        image_size (tuple[int, int] | int, optional): Height and width.

    Returns:
        tuple[int, int] | None: The size, if one is asked for.

    Raises:
        ValueError: If the size is no multiple of the patch.
    """
    vision = config['vision_cfg']
    resnet = isinstance(vision.get('layers'), list)
    if image_size is None and resnet:
        image_size = vision.get('image_size')
    if image_size is None:
        return None
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    size: tuple[int, int] = (image_size[0], image_size[1])
    if min(size) < 1:
        raise ValueError(f'image_size {size} has no pixels.')
    patch = 32 if resnet else vision.get('patch_size', 16)
    if 'timm_model_name' not in vision and any(s % patch for s in size):
        raise ValueError(
            f'image_size {size} is no multiple of the patch size {patch}.'
        )
    if not resnet:
        vision['image_size'] = list(size)
    elif not isinstance(vision.get('image_size', 224), int):
        vision['image_size'] = 224
    return size


@contextmanager
def _without_notes() -> Iterator[None]:
    """Hold back open_clip's notes that no weights were found."""

    def keep(record: logging.LogRecord) -> bool:
        return 'open_clip' not in record.pathname

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
