"""Swin of mmpretrain and BERT of transformers: sizes and construction."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mmtpr.registry import MODELS
from mmtpr.utils import require
from mmtpr.utils.mmpretrain_state import check_mmpretrain_types

from .cross_layers import ImageCrossAttention
from .window_attention import fuse_windows

#: Named in messages.
PURPOSE = 'mmtpr.SwinBertEncoder'
#: APTM's image tower: Swin-B with windows of 8 x 8.
SWIN_B: dict[str, Any] = dict(
    type='mmpretrain.SwinTransformer', arch='base', window_size=8
)


def window_sizes(
    image_size: tuple[int, int],
    window_size: int,
    stages: int = 4,
    patch_size: int = 4,
) -> list[int]:
    """Side of the attention window in each stage, by the release's rule.

    Where the shorter side of the map is at most the window, the window
    shrinks to it and does not shift.

    Args:
        image_size (tuple[int, int]): Height and width of the images.
        window_size (int): Side of the window while the map is larger.
        stages (int): Number of stages. Defaults to 4.
        patch_size (int): Pixels of a patch's side. Defaults to 4.

    Returns:
        list[int]: One side a stage.

    Raises:
        ValueError: If a map cannot be cut into windows without rest.
    """
    windows = []
    for stage in range(stages):
        stride = patch_size * 2**stage
        height, width = (side // stride for side in image_size)
        window = min(window_size, height, width)
        whole = all(side % stride == 0 for side in image_size)
        if not whole or not window or height % window or width % window:
            raise ValueError(
                f'Images of {image_size[0]}x{image_size[1]} (height x '
                f'width) cannot be cut into windows: stage {stage + 1} has '
                f'one value for {stride} pixels, and windows of '
                f'{window_size} or the shorter side. Choose other image_size '
                'or window_size.'
            )
        windows.append(window)
    return windows


def build_swin(
    image: dict[str, Any] | None, image_size: tuple[int, int]
) -> tuple[nn.Module, list[int]]:
    """Build the image tower with random weights.

    Args:
        image (dict, optional): What differs from :data:`SWIN_B`, and how
            random weights are drawn: ``init_std`` and ``position_std``, see
            :func:`init_swin`.
        image_size (tuple[int, int]): Height and width of the images.

    Returns:
        tuple[nn.Module, list[int]]: ``mmpretrain.SwinTransformer`` and the
        window of each stage.

    Raises:
        ImportError: If mmpretrain is absent or broken.
        ValueError: If images and windows do not fit.
    """
    cfg = SWIN_B | dict(image or {})
    scales = {k: cfg.pop(k) for k in ('init_std', 'position_std') if k in cfg}
    taken = {'stage_cfgs', 'with_cp'} & set(cfg)
    if taken:
        raise ValueError(
            f'The image tower takes no {", ".join(sorted(taken))}: stages '
            'follow from image_size and window_size, and grad_checkpointing '
            'is an argument of the encoder.'
        )
    arch = cfg['arch']
    stages = len(arch['depths']) if isinstance(arch, dict) else 4
    windows = window_sizes(
        image_size, cfg['window_size'], stages, cfg.get('patch_size', 4)
    )
    check_mmpretrain_types(cfg)
    swin = MODELS.build(
        cfg
        | dict(
            img_size=image_size,
            out_indices=(stages - 1,),
            stage_cfgs=[dict(window_size=window) for window in windows],
        )
    )
    fuse_windows(swin)
    for module in swin.modules():
        if hasattr(module, 'window_reverse'):
            # End of life: an mmpretrain that does not count images by a
            # division of floats, which torch.compile cannot see through.
            module.window_reverse = _join_windows
    init_swin(swin, **scales)
    return swin, windows


def _join_windows(
    windows: torch.Tensor, height: int, width: int, size: int
) -> torch.Tensor:
    """Put windows side by side, (M * n, size, size, C) -> (M, H, W, C)."""
    rows, columns = height // size, width // size
    x = windows.unflatten(0, (-1, rows, columns))  # (M, h, w, s, s, C)
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def init_swin(
    swin: Any, init_std: float = 0.02, position_std: float = 0.02
) -> None:
    """Draw random weights.

    0.02 suits the published widths. Narrow layers add next to nothing to
    their input with it; one over the root of the width is fit for them.

    Args:
        swin (nn.Module): ``mmpretrain.SwinTransformer``, changed in place.
        init_std (float): Of the linear layers. Defaults to 0.02.
        position_std (float): Of absolute positions, where
            ``use_abs_pos_embed`` is set; they are added to normalised
            patches. Defaults to 0.02.
    """
    for module in swin.modules():
        if hasattr(module, 'relative_position_bias_table'):
            nn.init.trunc_normal_(
                module.relative_position_bias_table, std=0.02
            )
        elif isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=init_std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if swin.use_abs_pos_embed:
        nn.init.normal_(swin.absolute_pos_embed, std=position_std)


def run_swin(
    vision: Any, images: torch.Tensor, run: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """Encode images, with a say in how blocks are called.

    mmpretrain's own recomputation of activations is the reentrant one, which
    distributed training does not get on with.

    Args:
        vision (nn.Module): ``mmpretrain.SwinTransformer``.
        images (Tensor): Of shape (M, 3, H, W).
        run (Callable): Called with a block and its arguments.

    Returns:
        Tensor: Tokens of the last stage, of shape (M, N, width).
    """
    tokens, size = vision.patch_embed(images)
    if vision.use_abs_pos_embed:
        tokens = tokens + vision.absolute_pos_embed
    tokens = vision.drop_after_pos(tokens)
    for stage in vision.stages:
        for block in stage.blocks:
            tokens = run(block, tokens, size)
        if stage.downsample is not None:
            tokens, size = stage.downsample(tokens, size)
    return getattr(vision, f'norm{len(vision.stages) - 1}')(tokens)


def build_bert(
    text: dict[str, Any] | None, fusion_layer: int, image_width: int
) -> nn.Module:
    """Build BERT with random weights, its upper layers reading images.

    Args:
        text (dict, optional): What differs from BERT-base, by the names of
            ``transformers.BertConfig``.
        fusion_layer (int): First layer that reads images, from 0.
        image_width (int): Width of the image's tokens.

    Returns:
        transformers.BertForMaskedLM: Layers ``fusion_layer`` and up have a
        ``crossattention``.

    Raises:
        ImportError: If transformers is absent.
        ValueError: If ``fusion_layer`` leaves one side without layers.
    """
    transformers = require('transformers', 'blip2', PURPOSE)
    config = transformers.BertConfig(**(text or {}))
    if not 0 < fusion_layer < config.num_hidden_layers:
        raise ValueError(
            f'fusion_layer={fusion_layer} must leave layers on both sides: '
            f'1 to {config.num_hidden_layers - 1} with '
            f'{config.num_hidden_layers} layers.'
        )
    bert = transformers.BertForMaskedLM(config)
    for layer in bert.bert.encoder.layer[fusion_layer:]:
        layer.crossattention = ImageCrossAttention(config, image_width)
    return bert


def build_matching_head(width: int) -> nn.Sequential:
    """Head that tells whether caption and image belong together.

    Args:
        width (int): Width of the [CLS] it reads.

    Returns:
        nn.Sequential: (P, width) -> (P, 2) logits; the second is "match".
    """
    return nn.Sequential(
        nn.Linear(width, 2 * width),
        nn.LayerNorm(2 * width),
        nn.GELU(),
        nn.Linear(2 * width, 2),
    )
