"""LoRA: a low-rank change of a frozen weight."""

from torch import Tensor

from .base import AdapterLinear
from .functional import adapted_linear
from .pissa import PrincipalStart


class LoRALinear(PrincipalStart, AdapterLinear):
    r"""Linear layer with weight :math:`W_0 + (\alpha / r) B A`.

    From `LoRA: Low-Rank Adaptation of Large Language Models
    <https://arxiv.org/abs/2106.09685>`_. ``alpha`` is fixed.

    Args:
        linear (nn.Linear): The layer, with its pretrained weight in it.
        rank (int): Rank of the change, >= 1. Defaults to 8.
        alpha (float): Factor of the change, divided by the rank. Defaults to
            8.0.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha is divided by the root of the rank
            instead. Defaults to False.
        init (str): ``'zero'``: B starts at 0; ``'pissa'``: at the principal
            parts of the weight, see :class:`PrincipalStart`. Defaults to
            ``'zero'``.
    """

    alpha_by_rank = True

    def _adapted_forward(self, x: Tensor, x_low: Tensor | None) -> Tensor:
        a, b = self.plain_factors()
        return adapted_linear(
            x,
            self.linear.weight,
            self.linear.bias,
            a,
            b * (self.alpha / self.rank),
            x_low=x_low,
        )

    def _adapted_weight(self) -> Tensor:
        a, b = self.plain_factors()
        weight = self.linear.weight.to(a.dtype)
        return weight + (self.alpha / self.rank) * (b @ a)
