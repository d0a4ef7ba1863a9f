"""Adapted 2-D convolutions: LoRA, DoRA and WoRA."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtpr.utils.precision import compute_dtype, full_precision

from .base import LowRank
from .conv_norm import (
    Kernel,
    composed_kernel,
    exact_sqnorm,
    kernel_base_sqnorm,
    kernel_sqnorm,
)
from .layer import AdapterLayer
from .magnitudes import WithMagnitudes
from .norm import magnitude_scale
from .transforms import is_transformed

#: What other code reads of an ``nn.Conv2d``.
_OF_CONV = (
    *('in_channels', 'out_channels', 'kernel_size', 'stride', 'padding'),
    *('dilation', 'groups', 'padding_mode', 'transposed', 'output_padding'),
)


def is_plain_conv(module: Any) -> bool:
    """Tell whether a module computes what ``nn.Conv2d`` does.

    Args:
        module (Any): Any module.

    Returns:
        bool: False also for subclasses with another forward, such as those
        that standardise their weight or pad by their input's size.
    """
    return (
        isinstance(module, nn.Conv2d)
        and type(module).forward is nn.Conv2d.forward
        and type(module)._conv_forward is nn.Conv2d._conv_forward
    )


class AdapterConv2d(LowRank):
    r"""Base of the convolutions with a low-rank change.

    The kernel (out, in / g, h, w) is g matrices of in / g * h * w columns, g
    being the number of groups, and each gets factors of its own: ``lora_A``
    (rank, in / g, h, w) is a convolution of the same stride, padding,
    dilation and groups into ``rank`` channels, ``lora_B`` (out, rank / g) one
    of size 1 out of them. So the rank is shared out to the groups, which must
    divide it, and a merged kernel has the groups of the plain one.

    Args:
        linear (nn.Conv2d): The layer, with its pretrained weight in it.
            Frozen here.
        rank (int): Rank of the change, of all groups together, >= 1.
            Defaults to 8.
        alpha (float): Factor of the low-rank part. Defaults to 8.0.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha is divided by the root of the rank, see
            :class:`LowRank`. Defaults to False.

    Raises:
        TypeError: If ``linear`` is not a plain nn.Conv2d of floats.
        ValueError: If an option is out of range or the groups do not divide
            the rank.
    """

    wraps = nn.Conv2d

    def __init__(
        self,
        linear: nn.Conv2d,
        rank: int = 8,
        alpha: float = 8.0,
        dropout: float = 0.0,
        rslora: bool = False,
    ) -> None:
        super().__init__(linear)
        self._set_options(rank, alpha, dropout)
        who = type(self).__name__
        if not is_plain_conv(linear):
            raise TypeError(
                f'{who}: {type(linear).__name__} computes something else than '
                'nn.Conv2d.'
            )
        reason = self.misfit(linear, dict(rank=rank))
        if reason:
            raise ValueError(f'{who}: {reason}.')
        options = self._own_options()
        a = torch.randn(rank, *linear.weight.shape[1:], **options)
        self.lora_A = nn.Parameter(a * rank**-0.5)
        per_group = rank // linear.groups
        b = torch.zeros(linear.out_channels, per_group, **options)
        self.lora_B = nn.Parameter(b)
        self._add_number('alpha', self._whole_alpha(alpha, rslora))
        self._complete()

    @classmethod
    def misfit(cls, layer: nn.Module, options: dict[str, Any]) -> str:
        """Say whether the groups of a convolution do not divide the rank.

        Args:
            layer (nn.Module): The convolution.
            options (dict): Options of the adapter.

        Returns:
            str: The reason, or ''.
        """
        groups: Any = layer.groups
        rank = options.get('rank', 8)
        if rank % groups == 0:
            return ''
        return (
            f'{groups} groups do not divide rank {rank}: each needs as large '
            f'a share of it, so take a multiple of {groups}, or leave the '
            'convolution out'
        )

    @classmethod
    def smallest(cls, options: dict[str, Any]) -> nn.Module:
        """Build a tiny convolution, on which options are tried.

        Args:
            options (dict): Options of the adapter.

        Returns:
            nn.Module: The layer.
        """
        return nn.Conv2d(1, 1, 1)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_CONV:
            return getattr(self.linear, name)
        return super().__getattr__(name)

    def _kernel(self) -> Kernel:
        """Frozen kernels and factors as matrices."""
        groups = self.linear.groups
        weight = self.linear.weight
        return Kernel.of(weight, self.lora_A, self.lora_B, groups)

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Convolve (N, in, H, W) as the wrapped layer does."""
        bias = None if bias is None else bias.to(x.dtype)
        return self.linear._conv_forward(x, weight.to(x.dtype), bias)

    def _change(self, x: Tensor, factor: Tensor) -> Tensor:
        """Output (N, out, H', W') of the low-rank path, times a number."""
        low = self._convolve(x, self.lora_A)  # (N, rank, H', W')
        up = (self.lora_B * factor).to(x.dtype)  # (out, rank / g)
        groups = self.linear.groups
        return F.conv2d(low, up[:, :, None, None], groups=groups)

    def _sum(self, base: Tensor, change: Tensor) -> Tensor:
        """Add, into the first where nobody else looks at it."""
        if is_transformed((base, change)):
            return base + change
        return base.add_(change)

    def _adapted_forward(self, x: Tensor, x_low: Tensor | None) -> Tensor:
        dtype = compute_dtype(x)
        with full_precision(x.device):
            x_low = x if x_low is None else x_low
            return self._adapted(x.to(dtype), x_low.to(dtype))

    def _adapted(self, x: Tensor, x_low: Tensor) -> Tensor:
        """Output (N, out, H', W') for inputs in the compute type."""
        raise NotImplementedError


class LoRAConv2d(AdapterConv2d):
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
    """

    alpha_by_rank = True

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

    def __init__(
        self,
        linear: nn.Conv2d,
        rank: int = 8,
        alpha: float = 8.0,
        beta: float = 1.0,
        norm_dim: str = 'in',
        detach_norm: bool = False,
        dropout: float = 0.0,
        rslora: bool = False,
    ) -> None:
        super().__init__(linear, rank, alpha, dropout, rslora)
        self._add_magnitudes(beta, norm_dim, detach_norm)

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
        if direction is not None and is_same:
            # One product, in which nothing cancels any more.
            weight = self._normed(direction, scale)
            return self._convolve(x, weight, conv.bias)
        alpha, beta = self._numbers()
        gain = (beta * scale).to(x.dtype)[:, None, None]  # (n, 1, 1)
        if self.norm_dim == 'in':
            x = x * gain
            x_low = x if is_same else x_low * gain
            y = self._convolve(x, conv.weight, conv.bias)
            return self._sum(y, self._change(x_low, alpha / beta))
        y = self._convolve(x, conv.weight)
        y = self._sum(y, self._change(x_low, alpha / beta))
        if conv.bias is None:
            return y * gain
        return torch.addcmul(conv.bias.to(y.dtype)[:, None, None], y, gain)

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
        scale, direction = self._scale_and_direction()
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


def is_adapted_conv(module: nn.Module) -> bool:
    """Tell an adapted convolution.

    Args:
        module (nn.Module): Any module.

    Returns:
        bool: True if it is one.
    """
    return isinstance(module, AdapterLayer) and module.wraps is nn.Conv2d
