"""Tokenizer and statistics of images that belong to a model of open_clip."""

from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import open_clip

from .build import model_config

Statistics = tuple[float, ...] | None


class Companions(NamedTuple):
    """Preparation of images and captions that a model was trained with.

    Attributes:
        tokenizer (str | dict | None): As of ``mmtpr.TokenizeCaption``; None
            if the config of the model does not tell.
        context_length (int | None): Text tokens; None for a text tower of
            Hugging Face, which takes any number up to its limit.
        mean (tuple[float, ...] | None): Of each channel, RGB in 0..1; None if
            nothing tells.
        std (tuple[float, ...] | None): Likewise.
    """

    tokenizer: str | dict | None
    context_length: int | None
    mean: Statistics
    std: Statistics


def find_companions(
    model: str | PathLike | dict,
    pretrained: str | PathLike | None = None,
    context_length: int | None = None,
) -> Companions:
    """Find what belongs to a model.

    Args:
        model (str | PathLike | dict): As of :class:`OpenCLIPEncoder`.
        pretrained (str | PathLike, optional): Likewise; a tag of open_clip
            tells the statistics of its weights.
        context_length (int, optional): Text tokens, if not the model's.

    Returns:
        Companions: Tokenizer, number of tokens and statistics.

    Raises:
        ValueError: If the model is unknown.
    """
    text = model_config(model)['text_cfg']
    length = context_length or text.get('context_length')
    hub = text.get('hf_tokenizer_name') or text.get('hf_model_name')
    if length is None and not text.get('hf_model_name'):
        length = 77  # open_clip's default
    named = isinstance(model, str) and not model.endswith('.json')
    tokenizer: str | dict | None = None
    if named:
        tokenizer = str(model)
    elif hub:
        tokenizer = dict(hf=hub, **(text.get('tokenizer_kwargs') or {}))
    name = str(model).replace('/', '-') if named else ''
    return Companions(tokenizer, length, *_statistics(name, pretrained))


def _statistics(
    name: str, pretrained: str | PathLike | None
) -> tuple[Statistics, Statistics]:
    """Mean and std of a tag, or those on which all tags of a model agree."""
    known = open_clip.list_pretrained_tags_by_model(name) if name else []
    tags = [str(pretrained)] if str(pretrained) in known else known
    configs: list[Mapping[str, Any]] = [
        open_clip.get_pretrained_cfg(name, tag) for tag in tags
    ]
    found = {
        (tuple(config.get('mean') or ()), tuple(config.get('std') or ()))
        for config in configs
    }
    if len(found) != 1:
        return None, None
    mean, std = found.pop()
    return mean or None, std or None
