"""What layers with magnitudes have in common."""

from typing import Any

import torch
from torch import Tensor, nn

from mmtpr.utils.numbers import is_number
from mmtpr.utils.sharded import is_sharded

from .base import LowRank, check_switch
from .cancellation import ThinWatch


class WithMagnitudes(LowRank):
    """Magnitudes, the cached norm of the frozen weight, and who renews it.

    A subclass says in :meth:`_base_now` what the norm is of.

    Args:
        linear (nn.Module): The layer, with its pretrained weight in it.
        rank (int): Rank of the change, >= 1. Defaults to 8.
        alpha (float): Factor of the low-rank part. Defaults to 8.0.
        beta (float): Factor of the frozen weight, > 0. Defaults to 1.0.
        norm_dim (str): ``'in'`` or ``'out'``. Defaults to ``'in'``.
        detach_norm (bool): Whether the norm is a constant for the gradient.
            Defaults to False.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha is divided by the root of the rank.
            Defaults to False.
    """

    trained: tuple[str, ...] = ('lora_A', 'lora_B', 'magnitude')
    #: Younger than stores and caches, whose settings tell the same.
    not_in_fingerprint: tuple[str, ...] = ('norm_rows',)
    beta: Tensor
    magnitude: nn.Parameter

    def __init__(
        self,
        linear: Any,
        rank: int = 8,
        alpha: float = 8.0,
        beta: float = 1.0,
        norm_dim: str = 'in',
        detach_norm: bool = False,
        dropout: float = 0.0,
        rslora: bool = False,
    ) -> None:
        # Of the layer's kind, which comes after this in a class.
        kind: Any = super()
        kind.__init__(linear, rank, alpha, dropout, rslora)
        self._add_magnitudes(beta, norm_dim, detach_norm)

    def _add_magnitudes(
        self, beta: float, norm_dim: str, detach_norm: bool
    ) -> None:
        """Check the options and start at the norm of the frozen weight."""
        who = type(self).__name__
        if norm_dim not in ('in', 'out'):
            raise ValueError(
                f"{who}: norm_dim must be 'in' or 'out', got {norm_dim!r}."
            )
        if not (is_number(beta) and beta > 0):
            raise ValueError(
                f'{who}: beta must be finite and > 0, else the layer does not '
                f'start at its pretrained weight; got {beta!r}.'
            )
        self.norm_dim = norm_dim
        # In the file, since on a square weight the same numbers fit both.
        rows = torch.tensor(float(norm_dim == 'out'), **self._own_options())
        self.register_buffer('norm_rows', rows)
        self.detach_norm = check_switch('detach_norm', detach_norm, who)
        self._add_number('beta', beta)
        base = self._base_now()
        self.magnitude = nn.Parameter(base.sqrt())
        # Not a buffer: DDP writes buffers in place, under the feet of a
        # backward pass that is still to come.
        self._base_sqnorm = base
        self._floor = base * torch.finfo(base.dtype).eps
        self._seen = self._fingerprint()
        self._watch = ThinWatch()

    def _base_now(self) -> Tensor:
        """Squared norms (n,) of the frozen weight."""
        raise NotImplementedError

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
        base = self._base_now()
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
        now = self._base_now()
        return torch.allclose(now, self._base_sqnorm, rtol=1e-6, atol=0.0)

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

    def _numbers(self) -> tuple[Tensor, Tensor]:
        """Alpha and beta, which the backward pass finds as they are now."""
        pair = self.alpha, self.beta
        if 'alpha' in self.trained:
            return pair
        # Buffers: DDP writes them in place, before the backward pass.
        return pair[0].clone(), pair[1].clone()

    def extra_repr(self) -> str:
        """Rank, norm orientation and state, for ``repr``."""
        return f'{super().extra_repr()}, norm_dim={self.norm_dim!r}'
