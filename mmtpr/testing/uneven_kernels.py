"""Errors of rounding as kernels make them that treat rows differently."""

import torch
from torch import Tensor, nn

#: Relative size of the error; a rounding of float32 is about 1e-7.
SCALE = 1e-6


def disturb_rows(values: Tensor, scale: float = SCALE) -> Tensor:
    """Add an error that depends on a row's position and the number of rows.

    Matrix products of some processors do so: rows at the edge of a tile run
    through another kernel than those inside, so that equal rows of one batch
    differ in their last bits.

    Args:
        values (Tensor): Of shape (..., D); all but the last dimension count
            rows. Others than floating ones are left as they are.
        scale (float): Relative size of the error. Defaults to 1e-6.

    Returns:
        Tensor: Of the same shape and type.
    """
    if not values.is_floating_point() or values.dim() < 2:
        return values
    rows = values.flatten(0, -2)  # (R, D)
    place = torch.arange(len(rows), device=values.device)
    error = torch.sin(1.7 * place + 0.3 * len(rows)) * scale  # (R, )
    return (rows * (1 + error[:, None].to(rows.dtype))).view_as(values)


def disturb_kernels(model: nn.Module, scale: float = SCALE) -> nn.Module:
    """Make a model compute as on a processor with uneven kernels.

    What promises equal bits for any number of processes must hold its promise
    for such a model, else it rests on the kernels of one machine.

    Args:
        model (nn.Module): Its linear, convolution and normalisation layers
            get a hook.
        scale (float): See :func:`disturb_rows`.

    Returns:
        nn.Module: The same model.

    Examples:
        >>> layer = disturb_kernels(nn.Linear(3, 3))
        >>> same = layer(torch.ones(4, 3))
        >>> torch.equal(same[0], same[1])
        False
    """
    kinds = (nn.Linear, nn.Conv2d, nn.LayerNorm)

    def hook(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        return disturb_rows(output, scale)

    for module in model.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(hook)
    return model
