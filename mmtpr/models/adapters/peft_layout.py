"""Adapters in the layout of peft: a config and a state dict.

peft has LoRA for linear layers and for ``nn.MultiheadAttention`` and, for
linear layers, DoRA with one magnitude an output feature. What it has not
cannot be exported without another output, and is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .attention import PROJECTIONS, AdaptedMultiheadAttention
from .base import AdapterLinear
from .dora import DoRALinear
from .state import named_adapters, unwrap

_PREFIX = 'base_model.model.'
_CONFIG: dict[str, Any] = dict(
    peft_type='LORA',
    task_type=None,
    base_model_name_or_path=None,
    inference_mode=True,
    bias='none',
    fan_in_fan_out=False,
    use_rslora=False,
)


@dataclass
class _Layer:
    """One layer of peft: B (out, r) and A (r, in), scaled by alpha / r."""

    a: Tensor
    b: Tensor
    alpha: float
    magnitude: Tensor | None = None
    dropout: float = 0.0
    inner: dict[str, Tensor] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        return len(self.a)


def peft_adapter(
    model: nn.Module, root: str = ''
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Describe a model's adapters as peft does.

    LoRA is exported for linear layers and for the projections of fused
    attentions; DoRA and WoRA with ``norm_dim='out'`` for linear layers, WoRA
    with its learnt alpha and beta. Outputs are the same.

    Args:
        model (nn.Module): A model with adapters. Names in the result are
            those of the model without them.
        root (str): Part of the model that peft is to be put around, e.g.
            ``'encoder.clip'``. Defaults to ``''``, the whole model.

    Returns:
        tuple[dict, dict[str, Tensor]]: Content of ``adapter_config.json`` and
        of ``adapter_model.safetensors``.

    Raises:
        ValueError: If there are no adapters, one is outside ``root``, or peft
            has no counterpart of one.
    """
    model = unwrap(model)
    layers = {
        _inside(_plain_name(model, name), root): layer
        for name, layer in _layers(model).items()
    }
    if not layers:
        raise ValueError('There are no adapters to export in this model.')
    kinds = {layer.magnitude is not None for layer in layers.values()}
    if len(kinds) == 2:
        raise ValueError(
            'The model has adapters with and without magnitudes; one adapter '
            'of peft is either LoRA or DoRA.'
        )
    state = {}
    for name, layer in layers.items():
        state.update(_tensors(_PREFIX + name, layer))
    return _config(layers, kinds.pop()), state


def _layers(model: nn.Module) -> dict[str, _Layer]:
    """All adapted layers; the projections of an attention are one."""
    found, fused = {}, []
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, AdaptedMultiheadAttention):
            found[name] = _attention(name, module)
            fused.append(f'{name}.')
    for name, adapter in named_adapters(model):
        if not name.startswith(tuple(fused)):
            found[name] = _linear(name, adapter)
    return found


def _linear(name: str, adapter: AdapterLinear) -> _Layer:
    alpha, magnitude = adapter.alpha.item(), None
    if isinstance(adapter, DoRALinear):
        if adapter.norm_dim != 'out':
            raise ValueError(
                f'"{name}" has one magnitude an input feature '
                "(norm_dim='in'), peft's DoRA one an output feature. Merge "
                'it instead: tools/model_converters/merge_adapters.py.'
            )
        # The direction of beta W + alpha BA is that of W + alpha/beta BA.
        alpha = adapter.rank * alpha / adapter.beta.item()
        magnitude = adapter.magnitude.detach()
    return _Layer(
        adapter.lora_A.detach(),
        adapter.lora_B.detach(),
        alpha,
        magnitude,
        adapter.dropout,
    )


def _attention(name: str, attention: AdaptedMultiheadAttention) -> _Layer:
    """One low-rank change of the packed weight, another of ``out_proj``.

    peft gives both the same rank and factor: the factors go into B, and rows
    of zeros fill the smaller rank up.
    """
    parts = dict(attention.named_children())
    adapted = [parts[n] for n in PROJECTIONS if _is_adapter(parts[n])]
    if any(isinstance(part, DoRALinear) for part in adapted):
        raise ValueError(
            f'"{name}" is an nn.MultiheadAttention with magnitudes; peft has '
            'only LoRA there. Merge it instead: '
            'tools/model_converters/merge_adapters.py.'
        )
    if not attention._is_packed:
        raise ValueError(
            f'"{name}" has keys or values of another width, which peft does '
            'not take.'
        )
    ranks = [parts[n].rank if _is_adapter(parts[n]) else 0 for n in 'qkv']
    out = parts['out_proj']
    rank = max(sum(ranks), out.rank if _is_adapter(out) else 0)
    width = attention.embed_dim
    down = attention.q.weight.new_zeros(rank, width, dtype=torch.float32)
    up = down.new_zeros(3 * width, rank)
    row = 0
    for number, (key, size) in enumerate(zip('qkv', ranks, strict=True)):
        if size:
            a, b = _scaled(parts[key])
            down[row : row + size] = a
            up[number * width : (number + 1) * width, row : row + size] = b
            row += size
    inner_a, inner_b = torch.zeros_like(down), down.new_zeros(width, rank)
    if _is_adapter(out):
        inner_a[: out.rank], inner_b[:, : out.rank] = _scaled(out)
    inner = {
        'base_layer.out_proj.lora_A.weight': inner_a,
        'base_layer.out_proj.lora_B.weight': inner_b,
    }
    dropout = max(part.dropout for part in adapted)
    return _Layer(down, up, float(rank), None, dropout, inner)


def _is_adapter(module: nn.Module) -> bool:
    return isinstance(module, AdapterLinear)


def _scaled(adapter: AdapterLinear) -> tuple[Tensor, Tensor]:
    scale = adapter.alpha.item() / adapter.rank
    return adapter.lora_A.detach(), adapter.lora_B.detach() * scale


def _plain_name(model: nn.Module, name: str) -> str:
    """Name of a layer in the model without ``AdapterModel`` wrappers."""
    parts, module = [], model
    for part in name.split('.'):
        wraps = getattr(type(module), 'wraps_adapted_module', False)
        if not (wraps and part == 'module'):
            parts.append(part)
        module = module.get_submodule(part)
    return '.'.join(parts)


def _inside(name: str, root: str) -> str:
    prefix = f'{root}.' if root else ''
    if not name.startswith(prefix):
        raise ValueError(
            f'The adapter "{name}" is not inside "{root}", the part to '
            'export for; choose another root.'
        )
    return name.removeprefix(prefix)


def _tensors(name: str, layer: _Layer) -> dict[str, Tensor]:
    tensors = {'lora_A.weight': layer.a, 'lora_B.weight': layer.b}
    if layer.magnitude is not None:
        tensors['lora_magnitude_vector'] = layer.magnitude
    tensors |= layer.inner
    return {f'{name}.{k}': v.contiguous() for k, v in tensors.items()}


def _config(layers: Mapping[str, _Layer], use_dora: bool) -> dict[str, Any]:
    first = next(iter(layers.values()))
    patterns = {f'^{re.escape(name)}': v for name, v in layers.items()}
    return _CONFIG | dict(
        r=first.rank,
        lora_alpha=first.alpha,
        lora_dropout=max(layer.dropout for layer in layers.values()),
        use_dora=use_dora,
        # A list would match by endings: two towers share those.
        target_modules='|'.join(map(re.escape, layers)),
        rank_pattern={
            name: layer.rank
            for name, layer in patterns.items()
            if layer.rank != first.rank
        },
        alpha_pattern={
            name: layer.alpha
            for name, layer in patterns.items()
            if layer.alpha != first.alpha
        },
    )
