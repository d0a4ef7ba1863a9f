"""What a model comes from: config and checkpoint, or one folder."""

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from mmtpr.export.onnx_folder import is_onnx_folder
from mmtpr.export.onnx_retriever import load_onnx, onnx_config
from mmtpr.export.pretrained_files import (
    build_pretrained,
    is_pretrained_folder,
    read_pretrained,
)
from mmtpr.gallery import ModelIdentity
from mmtpr.models.build import build_model
from mmtpr.models.follow_encoder import follow_encoder
from mmtpr.utils.config_file import read_config
from mmtpr.utils.config_parts import find_pipeline
from mmtpr.utils.errors import LaunchError

from .config_facts import as_config


def read_source(
    source: str | os.PathLike | Config,
    weights: str | None = None,
    options: dict[str, Any] | None = None,
) -> Config:
    """Read the config of a model.

    Args:
        source (str | PathLike | Config): A config or its path, or the folder
            of an exported or saved model.
        weights (str, optional): Checkpoint. Defaults to None.
        options (dict, optional): Overrides of single keys of a config file.

    Returns:
        Config: The config, for :func:`build_source`.

    Raises:
        LaunchError: If there is no such config, a folder holds no model, or
            it is given with weights or options, of which it takes none.
    """
    if isinstance(source, Config):
        return source
    if not os.path.isdir(source):
        return read_config(os.fspath(source), options)
    if weights is not None or options:
        extra = weights if weights is not None else '--cfg-options'
        raise LaunchError(
            f'The folder "{source}" holds a whole model: give it without '
            f'"{extra}".'
        )
    if is_onnx_folder(source):
        return onnx_config(source)
    if is_pretrained_folder(source):
        return read_pretrained(Path(source))
    raise LaunchError(
        f'The folder "{source}" holds no model: it has neither a model.json '
        'of tools/model_converters/export_onnx.py nor a config.json of '
        'PretrainedRetriever.save_pretrained.'
    )


def build_source(
    cfg: Config,
    weights: str | None,
    device: str | torch.device,
    allow_partial: bool = False,
) -> nn.Module:
    """Build the model of a config, with its weights.

    Args:
        cfg (Config): Of :func:`read_source`; its tokenizers follow the
            encoder afterwards.
        weights (str | None): Checkpoint, see
            :func:`mmtpr.models.build.build_model`.
        device (str | device): Where to put it.
        allow_partial (bool): Whether a checkpoint that lacks trained weights
            will do. Defaults to False.

    Returns:
        nn.Module: The model in evaluation mode.
    """
    folder = cfg.get('onnx_folder')
    if folder:
        return load_onnx(folder, device).eval()
    if cfg.get('pretrained_folder'):
        return build_pretrained(cfg, device)
    follow_encoder(cfg)
    return build_model(cfg, weights, device, allow_partial)


def identity_of(model: Any, cfg: Any) -> ModelIdentity:
    """Find whose vectors a model gives.

    Args:
        model (nn.Module): The model.
        cfg (Config): Its config.

    Returns:
        ModelIdentity: Of an exported model that of the torch model, to whose
        vectors its own were held.
    """
    known = getattr(model, 'identity', None)
    if isinstance(known, ModelIdentity):
        return known
    return ModelIdentity.of(model, cfg.model, find_pipeline(as_config(cfg)))
