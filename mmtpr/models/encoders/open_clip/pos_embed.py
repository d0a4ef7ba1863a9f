"""Position embeddings for images of another size."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

_VIT_KEY = 'visual.positional_embedding'
_RESNET_KEY = 'visual.attnpool.positional_embedding'


def resize_positions(
    positions: Tensor,
    grid: tuple[int, int],
    interpolation: str = 'bilinear',
    antialias: bool = False,
    source: tuple[int, int] | None = None,
) -> Tensor:
    """Resize a grid of positions.

    Args:
        positions (Tensor): Of shape (1 + N, C); the first row belongs to the
            class token and stays.
        grid (tuple[int, int]): New height and width.
        interpolation (str): ``mode`` of ``torch.nn.functional.interpolate``.
        antialias (bool): Whether to smooth when the grid shrinks.
        source (tuple[int, int], optional): Given height and width. Defaults
            to None, which means a square.

    Returns:
        Tensor: Of shape (1 + height * width, C).

    Raises:
        ValueError: If the positions do not fill the given grid.
    """
    side = math.isqrt(len(positions) - 1)
    source = source or (side, side)
    if source[0] * source[1] != len(positions) - 1:
        raise ValueError(
            f'{len(positions) - 1} positions are no {source[0]}x{source[1]} '
            f'grid, so they cannot be resized to {grid[0]}x{grid[1]}; give '
            'pretrained_size, the size of the images these weights were '
            'trained with.'
        )
    first, rest = positions[:1], positions[1:]
    image = rest.reshape(1, *source, -1).permute(0, 3, 1, 2)
    image = F.interpolate(image, grid, mode=interpolation, antialias=antialias)
    return torch.cat([first, image.flatten(2)[0].t()])


def resize_visual_pos_embed(
    visual: nn.Module,
    state: dict[str, Tensor],
    interpolation: str = 'bilinear',
    antialias: bool = False,
    square: bool = False,
    size: tuple[int, int] | None = None,
) -> None:
    """Resize the positions in a state dict to those of an image tower.

    Nothing happens to a tower of timm, which resizes its own.

    Args:
        visual (nn.Module): Image tower of open_clip.
        state (dict[str, Tensor]): State dict of the whole model, changed in
            place.
        interpolation (str): See :func:`resize_positions`.
        antialias (bool): See :func:`resize_positions`.
        square (bool): Whether the given grid is known to be square where it
            can be. 16 x 16 and 32 x 8 have the same number of positions and
            are not the same. Defaults to False: equal numbers fit.
        size (tuple[int, int], optional): Height and width in pixels of the
            images that the given grid belongs to. Defaults to None, which
            means squares.
    """
    for key, grid in ((_VIT_KEY, _vit_grid), (_RESNET_KEY, _resnet_grid)):
        wanted = grid(visual)
        if wanted is None or key not in state:
            continue
        number = len(state[key]) - 1
        source = _given_grid(visual, size, wanted)
        if source is None and square and math.isqrt(number) ** 2 == number:
            source = (math.isqrt(number),) * 2
        if number != wanted[0] * wanted[1] or source not in (None, wanted):
            state[key] = resize_positions(
                state[key], wanted, interpolation, antialias, source
            )


def _given_grid(
    visual: Any, size: tuple[int, int] | None, wanted: tuple[int, int]
) -> tuple[int, int] | None:
    """Grid of images of a size, from that of the tower's own size."""
    if size is None:
        return None
    own = _pair(visual.image_size)
    patch = [o // w for o, w in zip(own, wanted, strict=True)]
    return size[0] // patch[0], size[1] // patch[1]


def _vit_grid(visual: nn.Module) -> tuple[int, int] | None:
    return getattr(visual, 'grid_size', None)


def _resnet_grid(visual: nn.Module) -> tuple[int, int] | None:
    return _pool_grid(visual) if isinstance(visual, ModifiedResNet) else None


def _pool_grid(visual: ModifiedResNet) -> tuple[int, int]:
    height, width = _pair(visual.image_size)
    return height // 32, width // 32


def set_resnet_size(visual: ModifiedResNet, size: tuple[int, int]) -> None:
    """Give the attention pool of CLIP's ResNet another grid.

    open_clip builds it for square images only.

    Args:
        visual (ModifiedResNet): Image tower, changed in place.
        size (tuple[int, int]): Height and width, multiples of 32.
    """
    visual.image_size = size
    pool = visual.attnpool
    positions = pool.positional_embedding.detach()
    resized = resize_positions(positions, _pool_grid(visual))
    pool.positional_embedding = nn.Parameter(resized)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(size, (tuple, list)):
        return size[0], size[1]
    return size, size
