"""Finding, reading and loading weights of CLIP."""

import logging
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import open_clip
from mmengine.logging import print_log
from open_clip.convert import convert_state_dict
from open_clip.model import (
    convert_to_custom_text_state_dict,
    resize_text_pos_embed,
)
from torch import Tensor, nn

from mmtpr.checkpoints import Fit, identify, read_checkpoint
from mmtpr.checkpoints.files import is_torchscript
from mmtpr.checkpoints.function_facts import facts_of

from .pos_embed import resize_visual_pos_embed

# Numbers, not weights, in OpenAI's archives.
_OPENAI_NUMBERS = ('input_resolution', 'context_length', 'vocab_size')
# The names CLIPs of open_clip have.
_FAMILIES = ('OpenAI CLIP', 'open_clip with a text tower of its own')
# A retriever scales cosines itself, so these may be absent.
_SCALARS = ('logit_scale', 'logit_bias')


@dataclass
class ClipWeights:
    """Weights of a CLIP as they were found.

    Attributes:
        source (str): Where from, for messages.
        state (dict[str, Tensor]): Names as in the open_clip model, float32.
        quick_gelu (bool): Whether they are known to be trained with
            QuickGELU.
        published (bool): Whether the names stood without prefix, as in the
            files of open_clip and OpenAI, whose position grids are square.
        facts (dict): What the encoder that they were saved from told of
            itself, see :mod:`mmtpr.checkpoints.function_facts`.
    """

    source: str
    state: dict[str, Tensor]
    quick_gelu: bool = False
    published: bool = True
    facts: dict[str, Any] = field(default_factory=dict)


def find_weights(
    model: str | PathLike | dict, pretrained: str | PathLike
) -> ClipWeights:
    """Read weights from a file, or from the hub by tag.

    Args:
        model (str | PathLike | dict): The model, see :func:`model_config`.
        pretrained (str | PathLike): A local file or a tag of open_clip such
            as ``'openai'``; ``'hub'`` for a model named ``hf-hub:...``.

    Returns:
        ClipWeights: The weights.

    Raises:
        ValueError: If it is neither a file nor a tag of this model, the
            download fails, or the file is damaged.
    """
    if Path(pretrained).is_file():
        return read_weights(pretrained)
    name = model.replace('/', '-') if isinstance(model, str) else ''
    tag = open_clip.get_pretrained_cfg(name, str(pretrained))
    on_hub = pretrained == 'hub' and name.startswith('hf-hub:')
    if not tag and not on_hub:
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise ValueError(
            f'pretrained="{pretrained}" is neither an existing file nor a '
            f'tag of model "{name or "(config)"}" (tags: '
            f'{", ".join(tags) or "none"}).'
        )
    weights = read_weights(_download(str(model), str(pretrained), tag))
    weights.source = f'{name} {pretrained}'
    weights.quick_gelu |= bool(tag.get('quick_gelu'))
    return weights


def _download(model: str, pretrained: str, tag: dict[str, Any]) -> str:
    print_log(
        f'Getting weights "{pretrained}" of model "{model}" from the cache or '
        'the hub.',
        logger='current',
    )
    hub = logging.getLogger('huggingface_hub')
    level = hub.level
    # Its notes on every retry would bury the one message below.
    hub.setLevel(logging.ERROR)
    try:
        if tag:
            return open_clip.download_pretrained(tag)
        return open_clip.pretrained.download_pretrained_from_hf(
            model.removeprefix('hf-hub:')
        )
    except Exception as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ValueError(
            f'The weights "{pretrained}" of model "{model}" are neither in '
            f'the cache nor can they be downloaded ({reason[0]}). Two ways: '
            'run once with network access, so that open_clip gets them from '
            'the hub; or copy the file here and set pretrained to its path.'
        ) from error
    finally:
        hub.setLevel(level)


def read_weights(path: str | PathLike) -> ClipWeights:
    """Read a file of weights and bring its names into open_clip's form.

    Known are state dicts of open_clip and OpenAI (float16 too), OpenAI's
    TorchScript archives, safetensors, and checkpoints in which the model
    sits under a prefix, as those of an mmtpr retriever (``encoder.clip.``,
    ``encoder.module.clip.``) or of DDP (``module.``).

    Args:
        path (str | PathLike): The file.

    Returns:
        ClipWeights: The weights in float32.

    Raises:
        ValueError: If the file is damaged or holds no CLIP.
    """
    found = read_checkpoint(path)
    state = {k: v for k, v in found.state.items() if isinstance(v, Tensor)}
    numbers = [state.pop(key, None) for key in _OPENAI_NUMBERS]
    prefix = _prefix(state, str(path))
    state = {
        key: value.float() if value.is_floating_point() else value
        for key, value in _strip_prefix(state, prefix).items()
    }
    known = any(number is not None for number in numbers)
    openai = known or is_torchscript(path)
    facts = facts_of(found.meta, prefix.removesuffix('clip.').rstrip('.'))
    return ClipWeights(str(path), state, openai, not prefix, facts)


def _prefix(state: dict[str, Tensor], path: str) -> str:
    """Find the prefix before ``visual.`` in the names."""
    found = {k[: k.index('visual.')] for k in state if 'visual.' in k}
    if len(found) > 1:
        raise ValueError(
            f'"{path}" should hold one CLIP, but its keys have "visual." '
            f'after several prefixes: {sorted(found)}.'
        )
    return found.pop() if found else ''


def _strip_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove a prefix, and with it a retriever's heads and losses."""
    parts = prefix.removeprefix('module.').split('.')
    if parts[0] in ('encoder', 'base_model'):
        owner = prefix[: prefix.index(parts[0])] + parts[0] + '.'
        state = {k: v for k, v in state.items() if k.startswith(owner)}
    return {k.removeprefix(prefix): v for k, v in state.items()}


def load_clip_weights(
    clip: Any,
    weights: ClipWeights,
    interpolation: str = 'bilinear',
    antialias: bool = False,
    size: tuple[int, int] | None = None,
) -> None:
    """Load weights in place; every key must find its place.

    Position embeddings are resized to the model's image size and number of
    text tokens. Only ``logit_scale`` and ``logit_bias`` may be missing.

    Args:
        clip (nn.Module): Model of open_clip.
        weights (ClipWeights): What to load.
        interpolation (str): How to resize the grid of positions.
        antialias (bool): Whether to smooth when the grid shrinks.
        size (tuple[int, int], optional): Height and width in pixels of the
            images they were trained with. Defaults to None, which means
            squares.

    Raises:
        ValueError: If keys are missing or unknown or shapes differ.
    """
    state = convert_state_dict(clip, dict(weights.state))
    own = clip.state_dict()
    if not hasattr(clip, 'positional_embedding'):
        state = convert_to_custom_text_state_dict(state)
    # Masks and positions a model computes may be stored in older files.
    computed = {name for name, _ in clip.named_buffers()} - set(own)
    for key in (*computed, 'text.transformer.embeddings.position_ids'):
        if key not in own:
            state.pop(key, None)
    for key in _SCALARS:
        if key in own:
            value = state.get(key, own[key])
            state[key] = value.reshape(own[key].shape)
    resize_visual_pos_embed(
        clip.visual, state, interpolation, antialias, weights.published, size
    )
    if 'positional_embedding' in own or 'text.positional_embedding' in own:
        resize_text_pos_embed(state, clip)
    _check_keys(own, state, weights.source)
    clip.load_state_dict(state)
    print_log(
        f'Loaded {len(state)} tensors of CLIP from {weights.source}.',
        logger='current',
    )


def fits(clip: nn.Module, weights: ClipWeights) -> bool:
    """Tell whether all shapes agree with the model as it is.

    Args:
        clip (nn.Module): Model of open_clip.
        weights (ClipWeights): The weights.

    Returns:
        bool: True if no tensor needs to be resized.
    """
    own = clip.state_dict()
    return all(
        own[key].shape == value.shape
        for key, value in weights.state.items()
        if key in own and key.startswith('visual.')
    )


def _check_keys(own: dict, state: dict, source: str) -> None:
    hint = 'Give the model these weights were made for.'
    family = identify(state)
    if family and family.name not in _FAMILIES:
        hint = f'The file is of {family.name}.'
    fit = Fit.of(state, own)
    if any('lora_' in key for key in fit.unexpected):
        hint = (
            'The file holds adapters: merge them before, see '
            'mmtpr.models.adapters.merge_adapters(model, remove=True).'
        )
    fit.raise_for(source, hint)
