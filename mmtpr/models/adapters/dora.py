"""DoRA: a weight split into magnitude and direction."""

import math

import torch
from torch import Tensor, nn

from mmtpr.utils.sharded import is_sharded

from .base import AdapterLinear
from .cancellation import ThinColumns, ThinWatch
from .functional import adapted_linear, add_columns
from .norm import adapted_sqnorm, base_sqnorm, magnitude_scale
from .normed_function import normed_linear
from .normed_layer import NormedLayer, layer_norms, scaled_factors
from .transforms import is_plain


class DoRALinear(AdapterLinear):
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
    """

    trained: tuple[str, ...] = ('lora_A', 'lora_B', 'magnitude')
    beta: Tensor

    def __init__(
        self,
        linear: nn.Linear,
        rank: int = 8,
        alpha: float = 8.0,
        beta: float = 1.0,
        norm_dim: str = 'in',
        detach_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(linear, rank, alpha, dropout)
        who = type(self).__name__
        if norm_dim not in ('in', 'out'):
            raise ValueError(
                f"{who}: norm_dim must be 'in' or 'out', got {norm_dim!r}."
            )
        if not (math.isfinite(beta) and beta > 0):
            raise ValueError(
                f'{who}: beta must be finite and > 0, else the layer does not '
                f'start at its pretrained weight; got {beta!r}.'
            )
        self.norm_dim = norm_dim
        self.detach_norm = bool(detach_norm)
        self._add_number('beta', beta)
        base = base_sqnorm(linear.weight, norm_dim)
        self.magnitude = nn.Parameter(base.sqrt())
        # Not a buffer: DDP writes buffers in place, under the feet of a
        # backward pass that is still to come.
        self._base_sqnorm = base
        self._floor = base * torch.finfo(base.dtype).eps
        self._seen = self._fingerprint()
        self._watch = ThinWatch()

    def _fingerprint(self) -> tuple[int, int | None]:
        weight = self.linear.weight
        version = None if weight.is_inference() else weight._version
        return id(weight), version

    @torch.no_grad()
    def refresh(self) -> None:
        """Renew the cached norm of the frozen weight."""
        super().refresh()
        if is_sharded(self.linear.weight):
            self._seen = 0, None  # no weight: renewed when it is whole
            return
        base = base_sqnorm(self.linear.weight, self.norm_dim)
        self._base_sqnorm = base
        self._floor = base * torch.finfo(base.dtype).eps
        self._seen = self._fingerprint()

    @torch.no_grad()
    def has_current_norm(self) -> bool:
        """Tell whether the cached norm is that of the frozen weight.

        Returns:
            bool: False if somebody wrote the weight in a way that torch does
            not notice, such as through ``weight.data``.
        """
        weight = self.linear.weight
        if self.merged or weight.is_meta or is_sharded(weight):
            return True  # a part has not the norm of the whole
        now = base_sqnorm(weight, self.norm_dim)
        return torch.allclose(now, self._base_sqnorm, rtol=1e-6, atol=0.0)

    def scale(self) -> Tensor:
        """Magnitude over norm.

        Returns:
            Tensor: Shape (in,) or (out,) as ``norm_dim`` says,
            differentiable, float32 or float64.
        """
        return self._scale()[0]

    def _version_trained(self) -> tuple | None:
        """State of what the norm depends on, None outside of training."""
        if self.linear.weight.is_cpu:  # where looking costs nothing
            return None
        factors = (self.lora_A, self.lora_B, self.alpha, self.beta)
        if not self.training or any(t.is_inference() for t in factors):
            return None
        return self._seen, *(t._version for t in factors)

    def _current_version(self) -> tuple | None:
        """Renew the cached norm if need be; see :meth:`_version_trained`."""
        if torch.compiler.is_compiling():
            return None
        if self._seen != self._fingerprint():
            self.refresh()
        return self._version_trained()

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

    def _numbers(self) -> tuple[Tensor, Tensor]:
        """Alpha and beta, which the backward pass finds as they are now."""
        pair = self.alpha, self.beta
        if 'alpha' in self.trained:
            return pair
        # Buffers: DDP writes them in place, before the backward pass.
        return pair[0].clone(), pair[1].clone()

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

    def extra_repr(self) -> str:
        """Rank, norm orientation and state, for ``repr``."""
        return f'{super().extra_repr()}, norm_dim={self.norm_dim!r}'
