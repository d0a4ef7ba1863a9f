"""DoRA: a weight split into magnitude and direction."""

from torch import Tensor

from .base import AdapterLinear
from .cancellation import ThinColumns
from .functional import adapted_linear, add_columns
from .magnitudes import WithMagnitudes
from .norm import adapted_sqnorm, base_sqnorm, magnitude_scale
from .normed_function import normed_linear
from .normed_layer import NormedLayer, layer_norms, scaled_factors
from .transforms import is_plain


class DoRALinear(WithMagnitudes, AdapterLinear):
    r"""Linear layer with weight :math:`m \odot V / \|V\|`.

    :math:`V = \beta W_0 + \alpha B A` with fixed :math:`\alpha, \beta`; m, A
    and B train. From `DoRA: Weight-Decomposed Low-Rank Adaptation
    <https://arxiv.org/abs/2402.09353>`_, where alpha is the scaling as a
    whole (it is not divided by the rank).

    The norm comes from rank-sized products and the cached norm of W0, so no
    weight-sized tensor is built. Columns in which W0 and BA all but cancel are
    rebuilt one by one. A column whose norm is 0 stays 0. The cache is renewed
    when weights are loaded, moved or changed in place.

    Args:
        linear (nn.Linear): The layer, with its pretrained weight in it.
            ``magnitude`` starts as the norm of this weight.
        rank (int): Rank of the change, >= 1. Defaults to 8.
        alpha (float): Factor of the low-rank part. Defaults to 8.0.
        beta (float): Factor of the frozen weight, > 0. Defaults to 1.0.
        norm_dim (str): ``'in'``: one magnitude an input feature, as in the
            papers' notation; ``'out'``: one an output feature, as in peft.
            Defaults to ``'in'``.
        detach_norm (bool): Whether the norm is a constant for the gradient
            (section 4.3 of the DoRA paper). Defaults to False.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha is divided by the root of the rank.
            Defaults to False.
    """

    def _base_now(self) -> Tensor:
        return base_sqnorm(self.linear.weight, self.norm_dim)

    def scale(self) -> Tensor:
        """Magnitude over norm.

        Returns:
            Tensor: Shape (in,) or (out,) as ``norm_dim`` says,
            differentiable, float32 or float64.
        """
        return self._scale()[0]

    def _parts(self) -> NormedLayer:
        """The tensors of this layer."""
        return NormedLayer(
            self.linear.weight,
            self.linear.bias,
            self.lora_A,
            self.lora_B,
            self.magnitude,
            self.alpha,
            self.beta,
            self._base_sqnorm,
            self._floor,
            self.norm_dim,
            self.detach_norm,
        )

    def _scale(self) -> tuple[Tensor, ThinColumns | None]:
        """Magnitude over norm (n,), and the columns rebuilt for it."""
        version = self._current_version()
        alpha, beta = self._numbers()
        sqnorm, thin = adapted_sqnorm(
            self.linear.weight,
            self.lora_A,
            self.lora_B,
            alpha,
            beta,
            self._base_sqnorm,
            self.norm_dim,
            lambda left: self._watch.any(left, version),
        )
        scale = magnitude_scale(self.magnitude, sqnorm, self.detach_norm)
        return scale, thin

    def _adapted_forward(self, x: Tensor, x_low: Tensor | None) -> Tensor:
        version, layer = self._current_version(), self._parts()
        if is_plain((x, x_low, *layer[:7])):
            norms = layer_norms(layer)
            if not self._watch.any(norms.surplus, version):
                return normed_linear(x, x_low, layer, norms)
        return self._general_forward(x, x_low)

    def _general_forward(self, x: Tensor, x_low: Tensor | None) -> Tensor:
        """Output where columns are thin, and inside a transform of torch."""
        scale, thin = self._scale()
        rest = scale
        if thin is not None and x_low is None:
            # With dropout the two parts see different inputs: nothing cancels.
            rest = scale.index_fill(0, thin.index, 0.0)
        alpha, beta = self._numbers()
        parts = self._parts()._replace(alpha=alpha, beta=beta)
        down, up, gain = scaled_factors(parts, rest)
        weight, bias = self.linear.weight, self.linear.bias
        y = adapted_linear(
            x, weight, bias, down, up, gain, self.norm_dim, x_low
        )
        if thin is None or x_low is not None:
            return y
        columns = thin.weight * scale[thin.index]  # (k, c)
        return add_columns(y, x, columns, thin.index, self.norm_dim)

    def _adapted_weight(self) -> Tensor:
        scale = self.scale()
        weight = self.linear.weight.to(scale.dtype)
        lowrank = self.lora_B.to(scale.dtype) @ self.lora_A.to(scale.dtype)
        direction = self.beta * weight + self.alpha * lowrank
        if self.norm_dim == 'out':
            scale = scale.unsqueeze(1)
        return scale * direction
