"""Models with adapters from a config and a checkpoint, and their outputs."""

import argparse
import logging
from collections.abc import Collection
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmtpr.checkpoints import Checkpoint, Fit, read_checkpoint
from mmtpr.checkpoints.base_weights import base_weights, is_head
from mmtpr.checkpoints.coverage import (
    kind_clause,
    lacking_trained,
    refuse_untrained,
)
from mmtpr.checkpoints.files import load_weights
from mmtpr.checkpoints.function_facts import differing_facts
from mmtpr.checkpoints.spared_files import spare_pretrained
from mmtpr.registry import MODELS
from mmtpr.utils.config_file import read_config
from mmtpr.utils.console import init_quietly
from mmtpr.utils.finite import refuse_not_finite


def load_named(args: argparse.Namespace) -> tuple[nn.Module, list[str]]:
    """Load the model that a command line names.

    Args:
        args (Namespace): With the options of :func:`add_model_options`.

    Returns:
        tuple[nn.Module, list[str]]: See :func:`load_adapted`.
    """
    return load_adapted(
        *(args.config, args.checkpoint, args.ema, args.cfg_options),
        *(args.load_from, args.allow_partial),
    )


def load_adapted(
    config: str,
    checkpoint: str,
    ema: bool = False,
    options: dict[str, Any] | None = None,
    load_from: str | None = None,
    allow_partial: bool = False,
) -> tuple[nn.Module, list[str]]:
    """Build the model of a config and load a checkpoint into it.

    Args:
        config (str): Path of a config with adapters.
        checkpoint (str): A full checkpoint, or one with adapters only when
            the config brings the weights below them.
        ema (bool): Whether to take the averaged weights of an EMAHook.
            Defaults to False.
        options (dict, optional): Overrides of single keys of the config.
        load_from (str, optional): A full checkpoint of this model, for
            weights that ``checkpoint`` does not have. Defaults to None:
            ``load_from`` of the config, if it has one.
        allow_partial (bool): Whether a file that lacks trained weights will
            do. Defaults to False.

    Returns:
        tuple[nn.Module, list[str]]: The model, in evaluation mode, and the
        keys that the checkpoint does not have.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the checkpoint has keys that the model has not, or
            lacks some that no file of the config brings.
        RuntimeError: If adapters of the model are not in the checkpoint.
    """
    cfg = read_config(config, options)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    found = _read(checkpoint, ema)
    model = MODELS.build(spare_pretrained(cfg.model, found))
    if hasattr(model, 'init_weights'):
        init_quietly(model)
    own = model.state_dict()
    fit = Fit.of(found.state, own).without(missing=own)
    fit.raise_for(checkpoint, kind_clause(found.state, own))
    differing_facts(found.meta, model, checkpoint)
    missing = model.load_state_dict(found.state, strict=False).missing_keys
    base = base_weights(model, found.state, cfg, load_from)
    model.load_state_dict({**base, **found.state}, strict=False)
    # A file that the user names brings what was trained.
    known = {**found.state, **(base if load_from else {})}
    if lacking := lacking_trained(model, known, found.meta):
        line = refuse_untrained(checkpoint, lacking, allow_partial)
        print_log(line, logger='current', level=logging.WARNING)
    return model.eval(), missing


def _read(path: str, ema: bool) -> Checkpoint:
    """The weights in a checkpoint, without wrappers' prefixes."""
    if not ema:
        return read_checkpoint(path)
    file = load_weights(path)
    if not isinstance(file, dict) or 'ema_state_dict' not in file:
        raise ValueError(f'"{path}" has no averaged weights (--ema).')
    state = {
        key.removeprefix('module.'): value
        for key, value in file['ema_state_dict'].items()
        if key != 'steps'
    }
    return Checkpoint(str(path), state, meta=file.get('meta') or {})


def without_heads(
    state: dict[str, Tensor], missing: Collection[str]
) -> dict[str, Tensor]:
    """Leave out the heads of losses that were not in a checkpoint.

    Args:
        state (dict[str, Tensor]): State dict of the model.
        missing (Collection[str]): Keys that the checkpoint did not have.

    Returns:
        dict[str, Tensor]: The rest; such heads would be random.
    """
    missing = set(missing)
    return {
        key: value
        for key, value in state.items()
        if key not in missing or not is_head(key)
    }


def refuse_broken_weights(model: nn.Module, checkpoint: str) -> None:
    """Stop at weights that are NaN or infinite.

    Args:
        model (nn.Module): The model.
        checkpoint (str): Where its weights are from, for the message.

    Raises:
        ValueError: If there are some.
    """
    source = f'"{checkpoint}" or the file below it'
    refuse_not_finite(model.named_parameters(), source)


@torch.no_grad()
def probe(model: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Features of random images and captions.

    Args:
        model (nn.Module): A retriever or an encoder of mmtpr.
        seed (int): Seed of the inputs. Defaults to 0.

    Returns:
        dict[str, Tensor]: Features by ``'image'`` and ``'text'``, as float32;
        empty for a model of another kind.
    """
    encoder: Any = getattr(model, 'encoder', model)
    known = ('image_size', 'vocab_size', 'context_length')
    if not all(hasattr(encoder, name) for name in known):
        return {}
    generator = torch.Generator().manual_seed(seed)
    like = next(model.parameters())
    size = encoder.image_size
    size = (size, size) if isinstance(size, int) else tuple(size)
    images = torch.randn(2, 3, *size, generator=generator)
    shape = (2, encoder.context_length)
    tokens = torch.randint(1, encoder.vocab_size, shape, generator=generator)
    calls = {
        'image': (('extract_image_feat', 'encode_image'), images.to(like)),
        'text': (
            ('extract_text_feat', 'encode_text'),
            tokens.to(like.device),
        ),
    }
    features = {}
    for kind, (names, inputs) in calls.items():
        call = next((n for n in names if hasattr(model, n)), None)
        if call:
            features[kind] = getattr(model, call)(inputs).float()
    return features


def greatest_gap(
    before: dict[str, Tensor], after: dict[str, Tensor]
) -> dict[str, float]:
    """Difference of outputs, relative to the largest one.

    Args:
        before (dict[str, Tensor]): Outputs by name.
        after (dict[str, Tensor]): The same names.

    Returns:
        dict[str, float]: Greatest difference by name.
    """
    return {
        name: (
            (after[name] - value).abs().max()
            / value.abs().max().clamp(min=1e-6)
        ).item()
        for name, value in before.items()
    }
