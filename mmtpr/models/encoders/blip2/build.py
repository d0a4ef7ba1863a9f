"""BLIP-2 of transformers: sizes and construction."""

import copy
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from torch import Tensor, nn

from mmtpr.utils import require

from .attention import fuse_attention

#: Named in messages.
PURPOSE = 'mmtpr.BLIP2Encoder'
_FILES = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')

#: BLIP-2 stage 1 as published: EVA ViT-g/14 at 224 without its last block,
#: BERT-base as Q-Former, one word ([DEC]) more than BERT.
VIT_G: dict[str, Any] = dict(
    vision_config=dict(
        hidden_size=1408,
        intermediate_size=6144,
        num_hidden_layers=39,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
        layer_norm_eps=1e-6,
        initializer_range=0.02,
    ),
    qformer_config=dict(vocab_size=30523),
    num_query_tokens=32,
    image_text_hidden_size=256,
)


class UpcastLayerNorm(nn.LayerNorm):
    """A layer norm in the precision of its own weights.

    It stands over an image tower that may be held in half precision. Takes
    the arguments of ``nn.LayerNorm``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise.

        Args:
            input (Tensor): Of shape (..., D), any floating type.

        Returns:
            Tensor: The same shape, the type of the weights.
        """
        return super().forward(input.to(self.weight.dtype))


def blip2_config(
    model: str | PathLike | dict | None = None,
    pretrained: str | PathLike | None = None,
    dropout: float | None = None,
) -> Any:
    """Make the config of transformers.

    Args:
        model (str | PathLike | dict, optional): ``'vit-g'``; a folder or hub
            name with a ``config.json``; or what differs from ViT-g:
            ``vision_config``, ``qformer_config``, ``num_query_tokens``,
            ``image_text_hidden_size``. Defaults to None: that of
            ``pretrained`` if it has one, else ViT-g.
        pretrained (str | PathLike, optional): Where the weights come from.
        dropout (float, optional): Of the Q-Former. Defaults to None, what
            the model says.

    Returns:
        transformers.Blip2Config: The config.

    Raises:
        ImportError: If transformers is absent.
        ValueError: If a dict has unknown keys or a name cannot be had.
    """
    config = _config(model, pretrained)
    config.qformer_config.use_qformer_text_input = True
    if dropout is not None:
        config.qformer_config.hidden_dropout_prob = dropout
        config.qformer_config.attention_probs_dropout_prob = dropout
    return config


def _config(model, pretrained) -> Any:
    transformers = require('transformers', 'blip2', PURPOSE)
    if model is None:
        own = pretrained is not None and not is_file_name(pretrained)
        model = pretrained if own else 'vit-g'
    if not isinstance(model, dict) and str(model) != 'vit-g':
        return from_hub(transformers.Blip2Config, model)
    config = copy.deepcopy(VIT_G)
    changes = {} if isinstance(model, str) else dict(model)
    unknown = set(changes) - set(config)
    if unknown:
        raise ValueError(
            f'A BLIP-2 model takes {", ".join(config)}, got '
            f'{", ".join(sorted(unknown))}.'
        )
    for key, value in changes.items():
        if isinstance(value, dict):
            config[key].update(value)
        else:
            config[key] = value
    return transformers.Blip2Config(**config)


def build_image_size(
    config: Any, image_size: tuple[int, int] | int | None
) -> tuple[int, int]:
    """Settle the size of images.

    Args:
        config (transformers.Blip2Config): See :func:`blip2_config`.
        image_size (tuple[int, int] | int, optional): What is asked for; None
            for that of the model.

    Returns:
        tuple[int, int]: Height and width.

    Raises:
        ValueError: If it cannot be cut into patches.
    """
    vision = config.vision_config
    size = vision.image_size if image_size is None else image_size
    size = (size, size) if isinstance(size, int) else (*size,)
    if any(side % vision.patch_size for side in size):
        raise ValueError(
            f'image_size {size} is no multiple of the patch size '
            f'{vision.patch_size}.'
        )
    return size


def create_blip2(config: Any, ln_vision_eps: float) -> nn.Module:
    """Create the model with random weights.

    Args:
        config (transformers.Blip2Config): See :func:`blip2_config`.
        ln_vision_eps (float): Epsilon of the norm over the image tower.

    Returns:
        transformers.Blip2ForImageTextRetrieval: The model.
    """
    transformers = require('transformers', 'blip2', PURPOSE)
    blip2 = transformers.Blip2ForImageTextRetrieval(config)
    adjust_blip2(blip2, ln_vision_eps)
    if not blip2.query_tokens.is_meta:
        # Equal queries would stay equal for ever.
        nn.init.normal_(blip2.query_tokens, std=0.02)
    return blip2


def is_file_name(pretrained: str | PathLike) -> bool:
    """Tell whether weights are a file, not a folder or a hub name.

    Args:
        pretrained (str | PathLike): What the user named.

    Returns:
        bool: True if it is a file or is named like one.
    """
    path = Path(pretrained)
    return path.is_file() or path.suffix in _FILES


def adjust_blip2(blip2: Any, eps: float) -> None:
    """Give transformers' model our attention and norm over the image tower.

    The norm has an epsilon and precision of its own. Names of parameters stay.

    Args:
        blip2 (nn.Module): The model, changed in place.
        eps (float): Epsilon of the norm.
    """
    fuse_attention(blip2)
    old = blip2.vision_model.post_layernorm
    new = UpcastLayerNorm(
        old.normalized_shape, eps=eps, device=old.weight.device
    )
    new.weight, new.bias = old.weight, old.bias
    blip2.vision_model.post_layernorm = new


def from_hub(kind: Any, name: str | PathLike, **options) -> Any:
    """Call ``from_pretrained`` with one message where it fails.

    Args:
        kind (type): A class of transformers.
        name (str | PathLike): Hub name or folder.
        **options: Further arguments.

    Returns:
        Any: What it returns.

    Raises:
        ValueError: If it is neither here nor can be downloaded, or damaged.
    """
    from safetensors import SafetensorError

    try:
        return kind.from_pretrained(str(name), **options)
    except (
        *(EOFError, OSError, RuntimeError, UnpicklingError),
        SafetensorError,
    ) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(
            f'BLIP-2 "{name}" cannot be loaded ({reason[0]}). Three ways: '
            'run once with network access, so that transformers gets it from '
            "the hub; set it to a local folder in transformers' form; or "
            'set pretrained to a file of LAVIS or FAFA (.pth).'
        ) from error
