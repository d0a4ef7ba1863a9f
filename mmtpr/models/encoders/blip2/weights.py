"""Weights of BLIP-2: of the hub, LAVIS, FAFA's release and mmtpr."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmtpr.checkpoints import identify
from mmtpr.checkpoints.files import read_weight_file
from mmtpr.converters.keys.blip2 import convert_lavis, is_lavis
from mmtpr.utils import require

from .build import (
    PURPOSE,
    adjust_blip2,
    create_blip2,
    from_hub,
    is_file_name,
)


def create_with_weights(
    config: Any, pretrained: str | PathLike | None, ln_vision_eps: float
) -> tuple[nn.Module, Tensor | None]:
    """Create the model with weights of any source.

    Args:
        config (transformers.Blip2Config): See :func:`blip2_config`.
        pretrained (str | PathLike, optional): Hub name, folder or file; None
            for random weights.
        ln_vision_eps (float): Epsilon of the norm over the image tower.

    Returns:
        tuple[nn.Module, Tensor | None]: The model, and the temperature if
        the weights bring one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the weights cannot be had or do not fit.
    """
    if pretrained is not None and not is_file_name(pretrained):
        return load_from_hub(config, pretrained, ln_vision_eps), None
    blip2 = create_blip2(config, ln_vision_eps)
    if pretrained is None:
        return blip2, None
    return blip2, load_from_file(blip2, pretrained)


def load_from_hub(
    config: Any, name: str | PathLike, ln_vision_eps: float
) -> nn.Module:
    """Load weights that lie in transformers' form.

    Args:
        config (transformers.Blip2Config): See :func:`blip2_config`.
        name (str | PathLike): Hub name, or a folder.
        ln_vision_eps (float): Epsilon of the norm over the image tower.

    Returns:
        transformers.Blip2ForImageTextRetrieval: The model in float32.

    Raises:
        ValueError: If the weights cannot be had or do not fit.
    """
    transformers = require('transformers', 'blip2', PURPOSE)
    print_log(
        f'Getting BLIP-2 "{name}" from the folder, the cache or the hub.',
        logger='current',
    )
    blip2, info = from_hub(
        transformers.Blip2ForImageTextRetrieval,
        name,
        config=config,
        output_loading_info=True,
        torch_dtype=torch.float32,
    )
    wrong = {
        what: sorted(map(str, info[f'{what}_keys']))
        for what in ('missing', 'unexpected', 'mismatched')
    }
    _refuse(wrong, f'"{name}"')
    blip2 = blip2.float()
    adjust_blip2(blip2, ln_vision_eps)
    return blip2


def load_from_file(blip2: nn.Module, path: str | PathLike) -> Tensor | None:
    """Load a file of LAVIS, FAFA or mmtpr; every key must find its place.

    Args:
        blip2 (nn.Module): The model, filled in place.
        path (str | PathLike): State dict, bare or inside a checkpoint.

    Returns:
        Tensor | None: The temperature, if the file has one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds no BLIP-2 stage 1, or one of
            another size.
    """
    state = read_state(path)
    if is_lavis(state):
        state = convert_lavis(state).encoder
    temperature = state.pop('temperature', None)
    own = blip2.state_dict()
    wrong = dict(
        missing=sorted(set(own) - set(state)),
        unexpected=sorted(set(state) - set(own)),
        mismatched=[
            f'{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}'
            for key in sorted(set(own) & set(state))
            if own[key].shape != state[key].shape
        ],
    )
    _refuse(wrong, f'"{path}"')
    blip2.load_state_dict(state)
    return temperature


def read_state(path: str | PathLike) -> dict[str, Tensor]:
    """Read a file and strip what stands around the encoder's weights.

    Args:
        path (str | PathLike): The file.

    Returns:
        dict[str, Tensor]: Names of LAVIS or of transformers.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds no BLIP-2.
    """
    return find_state(read_weight_file(path), path)


def find_state(content: Any, path: str | PathLike) -> dict[str, Tensor]:
    """Strip what stands around the encoder's weights.

    Args:
        content (Any): Content of a file.
        path (str | PathLike): The file, for the message.

    Returns:
        dict[str, Tensor]: Names of LAVIS or of transformers.

    Raises:
        ValueError: If it holds no BLIP-2.
    """
    for state in _state_dicts(content):
        for marker in ('visual_encoder.cls_token', 'vision_model.embeddings.'):
            prefix = _prefix(state, marker)
            if prefix is not None:
                return _strip(state, prefix)
    raise ValueError(
        f'"{path}" holds no BLIP-2: neither "visual_encoder.cls_token" '
        '(LAVIS, FAFA) nor "vision_model.embeddings." (transformers, mmtpr) '
        f'is among its keys.{_family(content)}'
    )


def _family(content: Any) -> str:
    """A sentence that names what the file holds instead."""
    found = [identify(state) for state in _state_dicts(content)]
    names = [family.name for family in found if family]
    return f' It is a checkpoint of {names[0]}.' if names else ''


def _state_dicts(content: Any) -> list[dict[str, Tensor]]:
    """The content, and the dicts in it: ``model``, ``state_dict``, ..."""
    if not isinstance(content, Mapping):
        return []
    found = [content, *(v for v in content.values() if isinstance(v, Mapping))]
    return [
        {key: v for key, v in state.items() if isinstance(v, Tensor)}
        for state in found
    ]


def _prefix(state: dict[str, Tensor], marker: str) -> str | None:
    found = {key.split(marker)[0] for key in state if marker in key}
    return found.pop() if len(found) == 1 else None


def _strip(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Keep the encoder, and beside ``blip2.`` its temperature."""
    stripped = {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix)
    }
    beside = prefix.removesuffix('blip2.') + 'temperature'
    if prefix.endswith('blip2.') and beside in state:
        stripped['temperature'] = state[beside]
    return stripped


def _refuse(wrong: dict[str, list[str]], where: str) -> None:
    parts = [
        f'{len(names)} {what} (e.g. {", ".join(names[:3])})'
        for what, names in wrong.items()
        if names
    ]
    if parts:
        raise ValueError(
            f'{where} does not fit this BLIP-2 stage 1 with text: weights '
            f'{"; ".join(parts)}. Set model of mmtpr.BLIP2Encoder to the '
            "weights' sizes; BLIP-2 with a language model has no text "
            'side.'
        )
