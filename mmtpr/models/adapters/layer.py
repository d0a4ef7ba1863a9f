"""Base class of all adapted layers."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from mmtpr.checkpoints.completeness import (
    ADAPTER_NUMBERS,
    ADAPTER_OPTIONS,
    as_number,
    may_lack,
)
from mmtpr.utils.precision import full_precision
from mmtpr.utils.sharded import is_sharded
from mmtpr.utils.warn import warn

from .file_options import refuse_other_options
from .norm import norm_dtype

#: Reads of a weight without a call of its layer that are no accident.
_MANY_READS = 8


def _check_layer(layer: nn.Module, wraps: type[nn.Module], who: str) -> None:
    if isinstance(layer, AdapterLayer):
        raise TypeError(f'{who}: the layer is adapted already ({layer}).')
    if not isinstance(layer, wraps):
        raise TypeError(
            f'{who} wraps an nn.{wraps.__name__}, got {type(layer).__name__}.'
        )
    if parametrize.is_parametrized(layer):
        raise TypeError(
            f'{who} cannot wrap a parametrized nn.{wraps.__name__}; call '
            'torch.nn.utils.parametrize.remove_parametrizations first.'
        )
    weight: Any = layer.weight
    if isinstance(weight, nn.parameter.UninitializedParameter):
        raise TypeError(f'{who}: run the lazy layer once before wrapping it.')
    if not weight.is_floating_point():
        raise TypeError(f'{who} cannot wrap a weight of type {weight.dtype}.')


def _save_unmerged(module, state_dict, prefix, _) -> None:
    """State-dict hook: a merged layer is saved as if it were not merged."""
    key = f'{prefix}linear.weight'
    if module.merged and key in state_dict:
        state_dict[key] = module._backup.detach()


def _prepare_load(module, state_dict, prefix, *_) -> None:
    """Load-state-dict pre-hook: unmerge, and take what former files have."""
    module.unmerge()
    own = dict(module.named_parameters(recurse=False))
    own |= dict(module.named_buffers(recurse=False))
    own = {prefix + name: tensor for name, tensor in own.items()}
    refuse_other_options(own, state_dict)
    for name in (*ADAPTER_NUMBERS, *ADAPTER_OPTIONS):
        key = prefix + name
        if key in own and key in state_dict:
            state_dict[key] = as_number(state_dict[key], own[key])
        elif key in own and may_lack(key):
            state_dict[key] = own[key]


def _refresh_after_load(module, _) -> None:
    module.refresh()


class AdapterLayer(nn.Module, ABC):
    """Base of the adapted layers: the frozen layer, merging and saving.

    Holds the wrapped layer, frozen, as ``linear``, whatever its kind, so that
    one rule holds for the keys of all files. A state dict always holds the
    unmerged layer.

    Args:
        layer (nn.Module): The layer, with its pretrained weight in it. Frozen
            here.

    Raises:
        TypeError: If ``layer`` is not a plain layer of floats.
    """

    #: Own tensors that train. The others are fixed.
    trained: tuple[str, ...] = ()
    #: What is wrapped.
    wraps: type[nn.Module] = nn.Linear
    #: The tensor whose gradient shows that training reaches the layer.
    watched = 'lora_B'
    dropout = 0.0
    linear: Any
    _reads = 0

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        _check_layer(layer, self.wraps, type(self).__name__)
        self.linear = layer.requires_grad_(False)
        self._backup: nn.Parameter | None = None

    def _complete(self) -> None:
        """Do what follows once the adapter's own tensors are there."""
        self._frozen_norm = self._norm_now()
        self.train(self.linear.training)
        self.register_state_dict_post_hook(_save_unmerged)
        self.register_load_state_dict_pre_hook(_prepare_load)
        self.register_load_state_dict_post_hook(_refresh_after_load)

    @classmethod
    def misfit(cls, layer: nn.Module, options: dict[str, Any]) -> str:
        """Say why a layer cannot be adapted with these options.

        Args:
            layer (nn.Module): The layer.
            options (dict): Options of the adapter.

        Returns:
            str: The reason, or '' if it can.
        """
        return ''

    @classmethod
    def smallest(cls, options: dict[str, Any]) -> nn.Module:
        """Build a tiny layer, on which options are tried.

        Args:
            options (dict): Options of the adapter.

        Returns:
            nn.Module: The layer.
        """
        return nn.Linear(1, 1)

    def _own_options(self) -> dict[str, Any]:
        """Device and type of the adapter's own tensors."""
        weight = self.linear.weight
        return dict(device=weight.device, dtype=norm_dtype(weight))

    def _add_number(self, name: str, value: float) -> None:
        """Hold a number: a parameter of shape (1,) if it trains.

        FSDP shards no parameter without a dimension. A number that is fixed
        is a buffer of shape ().
        """
        trains = name in self.trained
        shape = (1,) if trains else ()
        tensor = torch.full(shape, float(value), **self._own_options())
        if trains:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    @property
    def weight(self) -> Tensor:
        """Effective weight, for code that reads a layer's weight.

        Differentiable, and built anew at each access: calling the layer is
        the cheap way. Dropout is of the layer's input, which whoever reads
        the weight keeps to himself: a WARNING.
        """
        if self.training and self.dropout > 0:
            self._count_read()
        return self.merged_weight()

    def _count_read(self) -> None:
        """Warn once the weight was read often and the layer never called.

        Those who read the type of the weight alone call the layer then.
        """
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        self._reads += 1
        if self._reads == _MANY_READS:
            warn(
                f'dropout={self.dropout:g} of {type(self).__name__} does '
                'nothing in layers whose weight the model reads instead of '
                'calling them, as some classes of attention do with qkv. Set '
                'dropout=0 in the target of these layers, or leave them out.'
            )

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
            x (Tensor): Input of the wrapped layer.

        Returns:
            Tensor: Its output.
        """
        if self.merged:
            return self.linear(x)
        x_low = None
        if self.training and self.dropout > 0:
            self._reads = 0
            x_low = F.dropout(x, self.dropout)
        return self._adapted_forward(x, x_low)

    def merged_weight(self) -> Tensor:
        """The effective weight.

        Returns:
            Tensor: Of the shape and in the type of the frozen weight,
            differentiable in the adapter's parameters.
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

    def merged_linear(self) -> nn.Module:
        """The wrapped layer with the effective weight in it.

        Returns:
            nn.Module: ``linear`` itself; this adapter must not be used on.
        """
        self.merge()
        self._backup = None
        return self.linear

    def frozen_linear(self) -> nn.Module:
        """The wrapped layer with its frozen weight in it.

        Returns:
            nn.Module: ``linear`` itself; this adapter must not be used on.
        """
        self.unmerge()
        return self.linear

    def _apply(self, fn: Any, recurse: bool = True) -> 'AdapterLayer':
        super()._apply(fn, recurse)
        if self._backup is not None:
            # In place: another layer may share it.
            self._backup.data = fn(self._backup.data)
        else:
            self.refresh()
        return self

    def __prepare_scriptable__(self) -> nn.Module:
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
        """State, for ``repr``."""
        return f'merged={self.merged}'


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
    if not isinstance(module, AdapterLayer):
        return module
    return module.merged_linear() if merged else module.frozen_linear()
