"""Adapters in the layout of peft: a config and a state dict.

peft has LoRA for linear layers and for ``nn.MultiheadAttention`` and, for
linear layers, DoRA with one magnitude an output feature. What it has not
cannot be exported without another output, and is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    model: nn.Module, root: str = '', out_proj_twice: bool | None = None
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
        out_proj_twice (bool, optional): Whether the peft that loads the
            result applies the change of ``out_proj`` inside an
            ``nn.MultiheadAttention`` twice, as versions up to 0.21.2 do
            (huggingface/peft#3774); its B is halved then. Must be said where
            such layers are adapted. Defaults to None.

    Returns:
        tuple[dict, dict[str, Tensor]]: Content of ``adapter_config.json`` and
        of ``adapter_model.safetensors``.

    Raises:
        ValueError: If there are no adapters, one is outside ``root``, peft
            has no counterpart of one, or ``out_proj_twice`` is needed.
    """
    model = unwrap(model)
    layers = {
        _inside(_plain_name(model, name), root): layer
        for name, layer in _layers(model, out_proj_twice).items()
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


def _layers(model: nn.Module, twice: bool | None) -> dict[str, _Layer]:
    """All adapted layers; the projections of an attention are one."""
    found, fused = {}, []
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, AdaptedMultiheadAttention):
            found[name] = _attention(name, module, twice)
            fused.append(f'{name}.')
    for name, adapter in named_adapters(model):
        if not name.startswith(tuple(fused)):
            found[name] = _linear(name, adapter)
    return found


def _linear(name: str, adapter: Any) -> _Layer:
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


def _attention(
    name: str, attention: AdaptedMultiheadAttention, twice: bool | None
) -> _Layer:
    """One low-rank change of the packed weight, another of ``out_proj``.

    peft gives both the same rank and factor: the factors go into B, and rows
    of zeros fill the smaller rank up.
    """
    parts = dict(attention.named_children())
    adapted = {
        n: part
        for n in PROJECTIONS
        if isinstance(part := parts[n], AdapterLinear)
    }
    _check_attention(name, attention, adapted, twice)
    inputs = [n for n in 'qkv' if n in adapted]
    out = adapted.get('out_proj')
    rank = sum(adapted[n].rank for n in inputs)
    rank = max(rank, out.rank if out else 0)
    width, row = attention.embed_dim, 0
    like = next(iter(adapted.values())).lora_A.detach()
    down, inner_down = like.new_zeros(2, rank, width)
    up, inner_up = like.new_zeros(3 * width, rank), down.t().clone()
    for key in inputs:
        a, b = _scaled(adapted[key])
        rows = slice(row, row + len(a))
        start = 'qkv'.index(key) * width
        down[rows], up[start : start + width, rows] = a, b
        row += len(a)
    if out:
        inner_down[: out.rank], inner_up[:, : out.rank] = _scaled(
            out, 0.5 if twice else 1.0
        )
    inner = {
        'base_layer.out_proj.lora_A.weight': inner_down,
        'base_layer.out_proj.lora_B.weight': inner_up,
    }
    dropout = max(layer.dropout for layer in adapted.values())
    return _Layer(down, up, float(rank), None, dropout, inner)


def _check_attention(
    name: str,
    attention: AdaptedMultiheadAttention,
    adapted: dict[str, AdapterLinear],
    twice: bool | None,
) -> None:
    merge = 'Merge it instead: tools/model_converters/merge_adapters.py.'
    if any(isinstance(layer, DoRALinear) for layer in adapted.values()):
        raise ValueError(
            f'"{name}" is an nn.MultiheadAttention with magnitudes; peft has '
            f'only LoRA there. {merge}'
        )
    if not attention._is_packed:
        raise ValueError(
            f'"{name}" has keys or values of another width, which peft does '
            f'not take. {merge}'
        )
    if 'out_proj' in adapted and twice is None:
        raise ValueError(
            f'"{name}" has an adapter on out_proj, whose change peft up to '
            '0.21.2 applies twice (huggingface/peft#3774). Say for which peft '
            'the export is: out_proj_twice=True (--out-proj twice) for such '
            'a version, False (once) for one without the fault.'
        )


def _scaled(
    adapter: AdapterLinear, factor: float = 1.0
) -> tuple[Tensor, Tensor]:
    scale = factor * adapter.alpha.item() / adapter.rank
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
