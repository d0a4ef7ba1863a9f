"""Adapted 2-D convolutions: LoRA, DoRA and WoRA."""

import torch
from torch import Tensor

from mmtpr.utils.precision import full_precision

from .conv_base import AdapterConv2d
from .conv_norm import (
    composed_kernel,
    exact_sqnorm,
    kernel_base_sqnorm,
    kernel_sqnorm,
)
from .magnitudes import WithMagnitudes
from .norm import magnitude_scale
from .pissa import PrincipalStart
from .transforms import is_transformed


class LoRAConv2d(PrincipalStart, AdapterConv2d):
    r"""Convolution with kernel :math:`W_0 + (\alpha / r) B A`.

    See :class:`AdapterConv2d` for the factors and :class:`LoRALinear` for
    the source.

    Args:
        linear (nn.Conv2d): The layer, with its pretrained weight in it.
        rank (int): Rank of the change, of all groups together. Defaults to
            8.
        alpha (float): Factor of the change, divided by the rank. Defaults to
            8.0.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha is divided by the root of the rank
            instead. Defaults to False.
        init (str): ``'zero'`` or ``'pissa'``, see :class:`PrincipalStart`.
            Defaults to ``'zero'``.
    """

    alpha_by_rank = True

    def _factors(self) -> tuple[Tensor, Tensor]:
        return self.plain_factors()

    def _adapted(self, x: Tensor, x_low: Tensor) -> Tensor:
        linear = self.linear
        y = self._convolve(x, linear.weight, linear.bias)
        return self._sum(y, self._change(x_low, self.alpha / self.rank))

    def _adapted_weight(self) -> Tensor:
        weight = self.linear.weight
        scale = self.alpha / self.rank
        kernel = composed_kernel(self._kernel(), scale, None, scale.dtype)
        return kernel.reshape(weight.shape)


class DoRAConv2d(WithMagnitudes, AdapterConv2d):
    r"""Convolution with kernel :math:`m \odot V / \|V\|`.

    :math:`V = \beta W_0 + \alpha B A` as in :class:`DoRALinear`, with the
    factors of :class:`AdapterConv2d`. The norm is that of an input channel's
    part of all kernels, or of the whole kernel of an output channel.

    Args:
        linear (nn.Conv2d): The layer, with its pretrained weight in it.
        rank (int): Rank of the change, of all groups together. Defaults to
            8.
        alpha (float): Factor of the low-rank part. Defaults to 8.0.
        beta (float): Factor of the frozen weight, > 0. Defaults to 1.0.
        norm_dim (str): ``'in'``: one magnitude an input channel; ``'out'``:
            one an output channel, as in peft. Defaults to ``'in'``.
        detach_norm (bool): Whether the norm is a constant for the gradient.
            Defaults to False.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha is divided by the root of the rank.
            Defaults to False.
    """

    def _base_now(self) -> Tensor:
        conv = self.linear
        return kernel_base_sqnorm(conv.weight, self.norm_dim, conv.groups)

    def scale(self) -> Tensor:
        """Magnitude over norm.

        Returns:
            Tensor: Shape (in,) or (out,) as ``norm_dim`` says,
            differentiable, float32 or float64.
        """
        return self._scale_and_direction()[0]

    def _scale_and_direction(self) -> tuple[Tensor, Tensor | None]:
        """Magnitude over norm (n,), and V where its parts all but cancel."""
        version = self._current_version()
        alpha, beta = self._numbers()
        kernel, base, side = self._kernel(), self._base_sqnorm, self.norm_dim
        with full_precision(base.device):
            sqnorm, left = kernel_sqnorm(kernel, alpha, beta, base, side)
            direction = None
            # Under vmap nothing can depend on the numbers: compose always.
            if is_transformed([left]) or self._watch.any(left, version):
                has_double = base.device.type != 'mps'
                dtype = torch.float64 if has_double else torch.float32
                direction = composed_kernel(kernel, alpha, beta, dtype)
                exact = exact_sqnorm(kernel, direction, side).to(base.dtype)
                sqnorm = torch.where(left < 0, exact, sqnorm)
            scale = magnitude_scale(self.magnitude, sqnorm, self.detach_norm)
        return scale, direction

    def _adapted(self, x: Tensor, x_low: Tensor) -> Tensor:
        scale, direction = self._scale_and_direction()
        conv, is_same = self.linear, x_low is x
        if is_same and (direction is not None or self._composes(x)):
            # One product, in which nothing cancels any more.
            weight = self._effective(scale, direction)
            return self._convolve(x, weight, conv.bias)
        # Alpha and beta apart: beta may be 0, by which nothing is divided.
        alpha, beta = self._numbers()
        gain = (beta * scale).to(x.dtype)[:, None, None]  # (n, 1, 1)
        if self.norm_dim == 'in':
            y = self._convolve(x * gain, conv.weight, conv.bias)
            return self._sum(y, self._change(x_low, alpha, scale))
        y = self._convolve(x, conv.weight)
        change = self._change(x_low, alpha * scale[:, None])
        if conv.bias is None:
            return self._sum(y * gain, change)
        bias = conv.bias.to(y.dtype)[:, None, None]
        return self._sum(torch.addcmul(bias, y, gain), change)

    def _composes(self, x: Tensor) -> bool:
        """Tell whether composing the kernel is cheaper than scaling inputs.

        The gradient of a gain on the inputs needs that of the inputs. If
        nobody else asks for that, as of images, it costs a convolution turned
        round, dear with the stride of patches; the gradient of the kernel has
        all that is needed.
        """
        is_costly = self.norm_dim == 'in' and not x.requires_grad
        return is_costly and torch.is_grad_enabled()

    def _normed(self, direction: Tensor, scale: Tensor) -> Tensor:
        """Scale V (g, out / g, K) to the effective kernel."""
        weight = self.linear.weight
        scale = scale.to(direction.dtype)
        direction = direction.reshape(weight.shape)
        if self.norm_dim == 'out':
            return direction * scale[:, None, None, None]
        groups = self.linear.groups
        scale = scale.view(groups, 1, -1, 1, 1)  # (g, 1, in / g, 1, 1)
        parts = direction.unflatten(0, (groups, -1)) * scale
        return parts.flatten(0, 1)

    def _adapted_weight(self) -> Tensor:
        return self._effective(*self._scale_and_direction())

    def _effective(self, scale: Tensor, direction: Tensor | None) -> Tensor:
        """Effective kernel, from V if it is there already."""
        if direction is None:
            alpha, beta = self._numbers()
            kernel = self._kernel()
            direction = composed_kernel(kernel, alpha, beta, scale.dtype)
        return self._normed(direction, scale)


class WoRAConv2d(DoRAConv2d):
    r"""Convolution with kernel :math:`m \odot V / \|V\|`, all learned.

    As :class:`DoRAConv2d`, and :math:`\alpha, \beta` train too; see
    :class:`WoRALinear` for the source. The arguments are those of
    :class:`DoRAConv2d`.
    """

    trained = ('lora_A', 'lora_B', 'magnitude', 'alpha', 'beta')
