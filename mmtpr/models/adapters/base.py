"""Base class of adapted linear layers."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from mmtpr.checkpoints.completeness import ADAPTER_NUMBERS, as_number
from mmtpr.utils.precision import full_precision
from mmtpr.utils.sharded import is_sharded

from .norm import norm_dtype


def _check_linear(linear: nn.Module, who: str) -> None:
    if isinstance(linear, AdapterLinear):
        raise TypeError(f'{who}: the layer is adapted already ({linear}).')
    if not isinstance(linear, nn.Linear):
        raise TypeError(
            f'{who} wraps an nn.Linear, got {type(linear).__name__}.'
        )
    if parametrize.is_parametrized(linear):
        raise TypeError(
            f'{who} cannot wrap a parametrized nn.Linear; call '
            'torch.nn.utils.parametrize.remove_parametrizations first.'
        )
    weight = linear.weight
    if isinstance(weight, nn.parameter.UninitializedParameter):
        raise TypeError(f'{who}: run the lazy layer once before wrapping it.')
    if not weight.is_floating_point():
        raise TypeError(f'{who} cannot wrap a weight of type {weight.dtype}.')


def _check_options(rank: int, alpha: float, dropout: float, who: str) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f'{who}: rank must be an int >= 1, got {rank!r}.')
    if not math.isfinite(alpha):
        raise ValueError(f'{who}: alpha must be finite, got {alpha!r}.')
    if not 0 <= dropout < 1:
        raise ValueError(f'{who}: dropout must be in [0, 1), got {dropout!r}.')


def _save_unmerged(module, state_dict, prefix, _) -> None:
    """State-dict hook: a merged layer is saved as if it were not merged."""
    key = f'{prefix}linear.weight'
    if module.merged and key in state_dict:
        state_dict[key] = module._backup.detach()


def _prepare_load(module, state_dict, prefix, *_) -> None:
    """Load-state-dict pre-hook: unmerge, and take numbers of either shape."""
    module.unmerge()
    for name in ADAPTER_NUMBERS:
        own, key = getattr(module, name, None), prefix + name
        if own is not None and key in state_dict:
            state_dict[key] = as_number(state_dict[key], own)


def _refresh_after_load(module, _) -> None:
    module.refresh()


class AdapterLinear(nn.Module, ABC):
    """Base of the adapted linear layers.

    Holds the wrapped layer, frozen, as ``linear`` and the two factors
    ``lora_A`` ~ N(0, 1/rank) and ``lora_B`` = 0, so that the layer starts at
    the pretrained weight. The factors are float32 where the weight is of lower
    precision. A state dict always holds the unmerged layer.

    Args:
        linear (nn.Linear): The layer, with its pretrained weight in it.
            Frozen here.
        rank (int): Rank of the change, >= 1. Defaults to 8.
        alpha (float): Factor of the low-rank part. Defaults to 8.0.
        dropout (float): Probability of zeroing an element of the low-rank
            path's input in training. Norms are of the whole weight. Defaults
            to 0.0.

    Raises:
        TypeError: If ``linear`` is not a plain nn.Linear of floats.
        ValueError: If an option is out of range.
    """

    #: Own tensors that train. The others are fixed.
    trained: tuple[str, ...] = ('lora_A', 'lora_B')
    alpha: Tensor

    def __init__(
        self,
        linear: nn.Linear,
        rank: int = 8,
        alpha: float = 8.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        _check_linear(linear, who)
        _check_options(rank, alpha, dropout, who)
        self.rank = rank
        self.dropout = float(dropout)
        self.linear = linear.requires_grad_(False)
        self._backup: nn.Parameter | None = None
        weight = linear.weight
        options: dict[str, Any] = dict(
            device=weight.device, dtype=norm_dtype(weight)
        )
        a = torch.randn(rank, linear.in_features, **options)
        self.lora_A = nn.Parameter(a * rank**-0.5)
        b = torch.zeros(linear.out_features, rank, **options)
        self.lora_B = nn.Parameter(b)
        self._add_number('alpha', alpha)
        self._frozen_norm = self._norm_now()
        self.train(linear.training)
        self.register_state_dict_post_hook(_save_unmerged)
        self.register_load_state_dict_pre_hook(_prepare_load)
        self.register_load_state_dict_post_hook(_refresh_after_load)

    def _add_number(self, name: str, value: float) -> None:
        """Hold a number: a parameter of shape (1,) if it trains.

        FSDP shards no parameter without a dimension. A number that is fixed
        is a buffer of shape ().
        """
        trains = name in self.trained
        tensor = self.lora_A.new_full((1,) if trains else (), float(value))
        if trains:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.linear.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.linear.out_features

    @property
    def weight(self) -> Tensor:
        """Effective weight (out, in), for code that reads a layer's weight.

        Differentiable, and built anew at each access: calling the layer is
        the cheap way.
        """
        return self.merged_weight()

    @property
    def bias(self) -> nn.Parameter | None:
        """Bias of the wrapped layer, shape (out,)."""
        return self.linear.bias

    @property
    def int8_original_dtype(self) -> torch.dtype:
        """Type of the weight, under the name open_clip asks for.

        open_clip reads the type of a block's weight in every forward pass,
        and this before ``weight``, which would have to be built.
        """
        return self.linear.weight.dtype

    @property
    def merged(self) -> bool:
        """Tell whether ``linear.weight`` holds the merged weight now."""
        return self._backup is not None

    @abstractmethod
    def _adapted_weight(self) -> Tensor:
        """Effective weight in the type norms are accumulated in."""

    @abstractmethod
    def _adapted_forward(self, x: Tensor, x_low: Tensor | None) -> Tensor:
        """Output of the unmerged layer."""

    def _norm_now(self) -> Tensor:
        weight = self.linear.weight.detach()
        return torch.linalg.vector_norm(weight, dtype=norm_dtype(weight))

    def refresh(self) -> None:
        """Renew what was computed from the frozen weight."""
        if not is_sharded(self.linear.weight):
            self._frozen_norm = self._norm_now()

    def is_intact(self) -> bool:
        """Tell whether the frozen weight is that injected or loaded last.

        Returns:
            bool: False if someone else wrote another weight into ``linear``.
        """
        weight = self.linear.weight
        if self.merged or weight.is_meta or is_sharded(weight):
            return True
        return torch.allclose(self._norm_now(), self._frozen_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the adapted layer.

        Args:
            x (Tensor): Shape (..., in).

        Returns:
            Tensor: Shape (..., out).
        """
        if self.merged:
            return self.linear(x)
        x_low = None
        if self.training and self.dropout > 0:
            x_low = F.dropout(x, self.dropout)
        return self._adapted_forward(x, x_low)

    def __rmatmul__(self, x: Tensor) -> Tensor:
        """Output for code that multiplies by what is no ``nn.Linear``.

        open_clip does so with the projection of a text tower, which may be a
        linear layer or a bare matrix.
        """
        return self(x)

    def merged_weight(self) -> Tensor:
        """The effective weight as one matrix.

        Returns:
            Tensor: Shape (out, in), in the type of the frozen weight.
            Differentiable in the adapter's parameters.
        """
        if self.merged:
            return self.linear.weight.clone()
        weight = self.linear.weight
        with full_precision(weight.device):
            return self._adapted_weight().to(weight.dtype)

    @torch.no_grad()
    def merge(self) -> None:
        """Put the effective weight into ``linear``; keep the frozen one.

        A merged layer runs at the cost of a plain one and does not train. A
        layer that shared the frozen weight keeps that.
        """
        if not self.merged:
            frozen: Any = self.linear.weight
            with torch.inference_mode(False):
                merged = self.merged_weight().detach().clone()
                self.linear.weight = nn.Parameter(merged, frozen.requires_grad)
            # Past nn.Module, which would list it among the parameters.
            self.__dict__['_backup'] = frozen

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the frozen weight back, bit for bit."""
        if self._backup is not None:
            self.linear.weight = self._backup
            self._backup = None
            self.refresh()

    def merged_linear(self) -> nn.Linear:
        """The wrapped layer with the effective weight in it.

        Returns:
            nn.Linear: ``linear`` itself; this adapter must not be used on.
        """
        self.merge()
        self._backup = None
        return self.linear

    def frozen_linear(self) -> nn.Linear:
        """The wrapped layer with its frozen weight in it.

        Returns:
            nn.Linear: ``linear`` itself; this adapter must not be used on.
        """
        self.unmerge()
        return self.linear

    def _apply(self, fn: Any, recurse: bool = True) -> 'AdapterLinear':
        super()._apply(fn, recurse)
        if self._backup is not None:
            # In place: another layer may share it.
            self._backup.data = fn(self._backup.data)
        else:
            self.refresh()
        return self

    def __prepare_scriptable__(self) -> nn.Linear:
        """Stand-in for ``torch.jit.script``: the merged layer.

        Raises:
            RuntimeError: If the adapter is not merged.
        """
        if self.merged:
            return self.linear
        raise RuntimeError(
            f'torch.jit.script cannot compile a {type(self).__name__} that is '
            'not merged: call merge_adapters(model) first, from '
            'mmtpr.models.adapters, or use torch.compile.'
        )

    def extra_repr(self) -> str:
        """Rank and state, for ``repr``."""
        return f'rank={self.rank}, merged={self.merged}'


def without_adapter(module: nn.Module, merged: bool = True) -> nn.Module:
    """A layer as it is without its adapter.

    Args:
        module (nn.Module): A layer, adapted or not.
        merged (bool): Whether the adapter is merged into the weight or
            dropped. Defaults to True.

    Returns:
        nn.Module: The wrapped layer, or the layer itself if it has no
        adapter.
    """
    if not isinstance(module, AdapterLinear):
        return module
    return module.merged_linear() if merged else module.frozen_linear()
