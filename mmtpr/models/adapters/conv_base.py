"""Base class of adapted 2-D convolutions."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtpr.utils.precision import compute_dtype, full_precision

from .base import LowRank
from .conv_norm import Kernel
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
        conv = self.linear
        return Kernel.of(conv.weight, *self._factors(), conv.groups)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """A and B of the low-rank path."""
        return self.lora_A, self.lora_B

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Convolve (N, in, H, W) as the wrapped layer does."""
        bias = None if bias is None else bias.to(x.dtype)
        return self.linear._conv_forward(x, weight.to(x.dtype), bias)

    def _change(
        self, x: Tensor, factor: Tensor, gain: Tensor | None = None
    ) -> Tensor:
        """Output (N, out, H', W') of the low-rank path.

        The factor is one number, or one a row of B, (out, 1); the gain is one
        number an input channel, (in,).
        """
        a, b = self._factors()
        if gain is not None:
            groups = self.linear.groups
            gain = gain.view(groups, 1, -1, 1, 1)  # (g, 1, in / g, 1, 1)
            a = (a.unflatten(0, (groups, -1)) * gain).flatten(0, 1)
        low = self._convolve(x, a)  # (N, rank, H', W')
        up = (b * factor).to(x.dtype)  # (out, rank / g)
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
