"""Names of Swin's weights: Microsoft's files and mmpretrain's backbone.

The layouts differ in names and in the order in which patch merging takes the
four neighbours: Microsoft stacks four images, mmpretrain unfolds windows.
"""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..keymap import KeyMap, Rule, same_names

#: Where the stages' numbers stand in both layouts.
_STAGE = re.compile(r'(?:.*\.)?(?:layers|stages)\.(\d+)\.blocks\.')
_TABLE = 'relative_position_bias_table'
_INDEX = 'relative_position_index'
#: The four neighbours, column first <-> row first.
_NEIGHBOURS = [0, 2, 1, 3]

SWIN_IGNORED = {
    'layers.{i}.blocks.{j}.attn_mask': (
        'the mask of shifted windows, which the model computes'
    ),
    'head.{p}': 'the classifier of ImageNet',
}
SWIN_IGNORED_BACK = {'head.{rest}': 'the classifier of ImageNet'}


def unfold_order(value: Tensor) -> Tensor:
    """Input features of patch merging, Microsoft's order -> mmpretrain's.

    Args:
        value (Tensor): Of shape (..., 4 * C).

    Returns:
        Tensor: The same shape.
    """
    four = value.unflatten(-1, (4, -1))[..., _NEIGHBOURS, :]
    return four.transpose(-1, -2).flatten(-2)


def stacked_order(value: Tensor) -> Tensor:
    """The way back of :func:`unfold_order`.

    Args:
        value (Tensor): Of shape (..., 4 * C).

    Returns:
        Tensor: The same shape.
    """
    four = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return four[..., _NEIGHBOURS, :].flatten(-2)


def swin_rules(stages: int = 4) -> list[Rule]:
    """Rules from Microsoft's names to those of ``mmpretrain.SwinTransformer``.

    Args:
        stages (int): Number of stages; the norm after the last one carries
            its number in mmpretrain. Defaults to 4.

    Returns:
        list[Rule]: The rules.
    """
    block, ours = 'layers.{i}.blocks.{j}', 'stages.{i}.blocks.{j}'
    merge = 'layers.{i}.downsample', 'stages.{i}.downsample'
    attention = (_TABLE, _INDEX, 'qkv.{p}', 'proj.{p}')
    return [
        Rule('patch_embed.proj.{p}', 'patch_embed.projection.{p}'),
        *same_names('patch_embed.norm.{p}', 'absolute_pos_embed'),
        Rule(f'{block}.norm{{k}}.{{p}}', f'{ours}.norm{{k}}.{{p}}'),
        *same_names(
            *attention, source=f'{block}.attn.', target=f'{ours}.attn.w_msa.'
        ),
        Rule(f'{block}.mlp.fc1.{{p}}', f'{ours}.ffn.layers.0.0.{{p}}'),
        Rule(f'{block}.mlp.fc2.{{p}}', f'{ours}.ffn.layers.1.{{p}}'),
        *(
            Rule(
                f'{merge[0]}.{name}',
                f'{merge[1]}.{name}',
                unfold_order,
                stacked_order,
            )
            for name in ('reduction.weight', 'norm.{p}')
        ),
        Rule('norm.{p}', f'norm{stages - 1}.{{p}}'),
    ]


def swin_map(state: Mapping[str, Tensor]) -> KeyMap:
    """Key map of Microsoft's Swin to ``mmpretrain.SwinTransformer``.

    Args:
        state (Mapping[str, Tensor]): A state dict of either layout, which
            tells the number of stages.

    Returns:
        KeyMap: Names of Microsoft's files -> names of the backbone.
    """
    return KeyMap(
        'Microsoft Swin',
        'mmpretrain.SwinTransformer',
        swin_rules(number_of_stages(state)),
        SWIN_IGNORED,
        SWIN_IGNORED_BACK,
    )


def number_of_stages(keys: Mapping[str, Tensor] | Sequence[str]) -> int:
    """Count the stages of a Swin.

    Args:
        keys (Mapping | Sequence[str]): Names in either layout, with or
            without prefix.

    Returns:
        int: The number of stages.

    Raises:
        ValueError: If there is none.
    """
    found = [_STAGE.match(key) for key in keys]
    numbers = [int(match[1]) for match in found if match]
    if not numbers:
        raise ValueError('There is no stage of a Swin among the keys.')
    return 1 + max(numbers)


def resize_windows(
    state: Mapping[str, Tensor], windows: Sequence[int]
) -> dict[str, Tensor]:
    """Bring a Swin's relative positions to other window sizes.

    As APTM does it, after BEiT: offsets of the given windows are put at
    distances that grow geometrically until the outermost meets that of the
    new window, and a cubic spline runs through them. A smaller window keeps
    the inner offsets.

    Args:
        state (Mapping[str, Tensor]): State dict in either layout.
        windows (Sequence[int]): Side of the window, one number a stage.

    Returns:
        dict[str, Tensor]: The state dict; tables of another size and their
        indices are new.

    Raises:
        ValueError: If there is not one window size a stage.
    """
    stages = number_of_stages(state)
    if len(windows) != stages:
        raise ValueError(
            f'This Swin has {stages} stages, got {len(windows)} window sizes.'
        )
    resized = dict(state)
    for key, value in state.items():
        stage = _STAGE.match(key)
        if not stage or not key.endswith((_TABLE, _INDEX)):
            continue
        window = windows[int(stage[1])]
        if key.endswith(_TABLE):
            resized[key] = resize_table(value, window)
        elif value.shape[0] != window**2:
            resized[key] = position_index(window)
    return resized


def resize_table(table: Tensor, window: int) -> Tensor:
    """Resize one table of relative positions; see :func:`resize_windows`.

    Args:
        table (Tensor): Of shape ((2 * W - 1) ** 2, heads).
        window (int): New side of the window.

    Returns:
        Tensor: Of shape ((2 * window - 1) ** 2, heads), the table itself if
        the size is the same.
    """
    old, new = math.isqrt(len(table)), 2 * window - 1
    if old == new:
        return table
    weights = _spline_weights(_geometric_offsets(old, new), new)
    square = table.double().unflatten(0, (old, old))
    square = torch.einsum('ay,bx,yxh->abh', weights, weights, square)
    return square.flatten(0, 1).to(table.dtype)


def position_index(window: int) -> Tensor:
    """Rows of the table for all pairs of places in a window.

    Args:
        window (int): Side of the window W.

    Returns:
        Tensor: Of shape (W * W, W * W), long.
    """
    side = torch.arange(window)
    places = torch.cartesian_prod(side, side)
    offsets = places[:, None] - places[None] + window - 1
    return offsets[..., 0] * (2 * window - 1) + offsets[..., 1]


def _geometric_offsets(old: int, new: int) -> list[float]:
    """Where the old offsets lie on the axis of the new ones."""
    half, wanted = old // 2, new // 2
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1 - ratio**half) / (1 - ratio) > wanted:
            high = ratio
        else:
            low = ratio
    side = [(1 - ratio**number) / (1 - ratio) for number in range(1, half + 1)]
    return [-offset for offset in reversed(side)] + [0.0] + side


def _spline_weights(places: list[float], number: int) -> Tensor:
    """Matrix of not-a-knot cubic interpolation at -n .. n, (number, old)."""
    given = torch.tensor(places, dtype=torch.float64)
    half = number // 2
    wanted = torch.arange(-half, half + 1, dtype=torch.float64)
    wanted = wanted.clamp(given[0], given[-1])
    scale, knots = given[-1], given[2:-2]

    def basis(x: Tensor) -> Tensor:
        powers = torch.stack([(x / scale) ** k for k in range(4)], 1)
        cubes = ((x[:, None] - knots) / scale).clamp(min=0) ** 3
        return torch.cat([powers, cubes], 1)

    return torch.linalg.solve(basis(given).T, basis(wanted).T).T
