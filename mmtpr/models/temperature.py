"""Bounds of temperatures that train.

Three words: what divides cosines is the ``temperature``; 1 / temperature, the
factor, is the ``scale``; CLIP trains the scale's logarithm, ``logit_scale``.
"""

import math

import torch
from torch import Tensor

#: Largest scale, as in CLIP.
MAX_SCALE = 100.0
#: Bounds of the temperature of a cross encoder, as in APTM.
CROSS_BOUNDS = (0.001, 0.5)
#: Smallest temperature of FAFA.
FAFA_BOUNDS = (0.001, None)


def bounded(
    temperature: Tensor,
    bounds: tuple[float | None, float | None],
    training: bool,
) -> Tensor:
    """Bring a temperature into its bounds.

    While it trains, the parameter itself is moved: a bound in the graph has
    no gradient, so a temperature beyond it would stay there for good.

    Args:
        temperature (Tensor): A scalar, changed in place while it trains.
        bounds (tuple[float | None, float | None]): Smallest and largest.
        training (bool): Whether the model trains.

    Returns:
        Tensor: The temperature, a scalar.
    """
    if not (training and temperature.requires_grad):
        return temperature.clamp(*bounds)
    with torch.no_grad():
        temperature.clamp_(*bounds)
    return temperature


def bounded_scale(logit_scale: Tensor, training: bool) -> Tensor:
    """Turn CLIP's logarithm into a scale of at most 100.

    Args:
        logit_scale (Tensor): A scalar, changed in place while it trains, see
            :func:`bounded`.
        training (bool): Whether the model trains.

    Returns:
        Tensor: The scale, 1 / temperature, a scalar.
    """
    if not (training and logit_scale.requires_grad):
        return logit_scale.exp().clamp(max=MAX_SCALE)
    # Not clamped after exp: CLIP's own scale lies a hair above 100.
    return bounded(logit_scale, (None, math.log(MAX_SCALE)), True).exp()
