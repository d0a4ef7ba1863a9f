"""Adapters in the layout of peft: a config and a state dict.

peft has LoRA for linear layers, convolutions and ``nn.MultiheadAttention``,
DoRA with one magnitude an output feature for the first two, and OFT for
linear layers. What it has not cannot be exported without another output, and
is refused.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmtpr.utils.unwrap import unwrap

from .attention import AdaptedMultiheadAttention
from .fused_qkv import AdaptedQKV
from .oft import OFTLinear
from .peft_layers import PeftLayer, attention_layer, plain_layer, qkv_layer
from .state import named_adapters
from .wora import WoRALinear

PREFIX = 'base_model.model.'
_COMMON: dict[str, Any] = dict(
    task_type=None,
    base_model_name_or_path=None,
    inference_mode=True,
    bias='none',
    fan_in_fan_out=False,
)


def peft_adapter(
    model: nn.Module,
    root: str = '',
    out_proj_twice: bool | None = None,
    wora: bool = False,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Describe a model's adapters as peft does.

    LoRA is exported for linear layers, convolutions and the projections of
    fused attentions; DoRA and WoRA with ``norm_dim='out'`` for linear layers
    and convolutions without groups, WoRA with its learnt alpha and beta; OFT
    for linear layers. PiSSA becomes a plain LoRA of twice the rank. Outputs
    are the same.

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
        wora (bool): Whether WoRA keeps alpha and beta apart, in the layout
            of huggingface/peft#2872, which no release of peft reads yet.
            Defaults to False: they are folded into a DoRA.

    Returns:
        tuple[dict, dict[str, Tensor]]: Content of ``adapter_config.json`` and
        of ``adapter_model.safetensors``.

    Raises:
        ValueError: If there are no adapters, one is outside ``root``, peft
            has no counterpart of one, or ``out_proj_twice`` is needed.
    """
    model = unwrap(model)
    adapters = dict(named_adapters(model))
    if not adapters:
        raise ValueError('There are no adapters to export in this model.')
    rotations = {
        name: layer
        for name, layer in adapters.items()
        if isinstance(layer, OFTLinear)
    }
    if rotations:
        if len(rotations) < len(adapters):
            raise ValueError(
                'The model has OFT and other adapters; one adapter of peft '
                'is of one kind.'
            )
        return _oft(model, root, rotations)
    layers = {
        _inside(_plain_name(model, name), root): layer
        for name, layer in _layers(model, out_proj_twice, wora).items()
    }
    kinds = {layer.magnitude is not None for layer in layers.values()}
    if len(kinds) == 2:
        raise ValueError(
            'The model has adapters with and without magnitudes; one adapter '
            'of peft is either LoRA or DoRA.'
        )
    state = {}
    for name, layer in layers.items():
        state.update(_tensors(PREFIX + name, layer))
    return _config(layers, kinds.pop(), wora), state


def _layers(
    model: nn.Module, twice: bool | None, wora: bool
) -> dict[str, PeftLayer]:
    """All adapted layers; the parts of a fused layer are one."""
    found, fused = {}, []
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, AdaptedMultiheadAttention):
            found[name] = attention_layer(name, module, twice)
            fused.append(f'{name}.')
        elif isinstance(module, AdaptedQKV):
            if wora:
                raise ValueError(
                    f'"{name}" is adapted in parts, each with an alpha and a '
                    'beta of its own; the layout of WoRA in peft has one a '
                    'layer. Adapt it as a whole.'
                )
            found[name] = qkv_layer(name, module)
            fused.append(f'{name}.')
    for name, adapter in named_adapters(model):
        if name.startswith(tuple(fused)):
            continue
        if wora and not isinstance(adapter, WoRALinear):
            raise ValueError(
                f'"{name}" is a {type(adapter).__name__}; the layout of WoRA '
                'in peft is for WoRALinear.'
            )
        found[name] = plain_layer(name, adapter, wora)
    return found


def _oft(
    model: nn.Module, root: str, layers: Mapping[str, OFTLinear]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and state of rotations."""
    kinds = {(layer._terms, layer.share_blocks) for layer in layers.values()}
    sizes = {layer.block_size for layer in layers.values()}
    numbers = {
        layer.in_features // layer.block_size for layer in layers.values()
    }
    if len(kinds) > 1 or min(len(sizes), len(numbers)) > 1:
        raise ValueError(
            'The OFT layers differ in neumann_terms, in share_blocks, or in '
            'both the size and the number of their blocks; one adapter of '
            'peft has one of each.'
        )
    size = sizes.pop() if len(sizes) == 1 else 0  # else their number is told
    modules = dict(model.named_modules(remove_duplicate=False))
    for name in layers:
        parent = modules.get(name.rpartition('.')[0])
        if isinstance(parent, AdaptedMultiheadAttention | AdaptedQKV):
            raise ValueError(
                f'"{name}" is a part of a fused layer; peft has OFT on whole '
                'linear layers. Merge it instead: '
                'tools/model_converters/merge_adapters.py.'
            )
    names = {_inside(_plain_name(model, n), root): n for n in layers}
    state = {
        f'{PREFIX}{name}.oft_R.weight': layers[own].oft_R.detach().contiguous()
        for name, own in names.items()
    }
    ((terms, shared),) = kinds
    config = _COMMON | dict(
        peft_type='OFT',
        # From which on the series is the one that is computed here.
        peft_version='0.18.0',
        r=0 if size else numbers.pop(),
        oft_block_size=size,
        use_cayley_neumann=terms > 0,
        num_cayley_neumann_terms=terms or 5,
        block_share=shared,
        module_dropout=0.0,
        coft=False,
        target_modules='|'.join(map(re.escape, names)),
    )
    return config, state


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


def _tensors(name: str, layer: PeftLayer) -> dict[str, Tensor]:
    tensors = {'lora_A.weight': layer.a, 'lora_B.weight': layer.b}
    if layer.numbers is not None and layer.magnitude is not None:
        alpha, beta = layer.numbers
        tensors['lora_magnitude_vector.weight'] = layer.magnitude
        tensors |= {'lora_wora_alpha': alpha, 'lora_wora_beta': beta}
    elif layer.magnitude is not None:
        tensors['lora_magnitude_vector'] = layer.magnitude
    tensors |= layer.inner
    return {f'{name}.{k}': v.contiguous() for k, v in tensors.items()}


def _config(
    layers: Mapping[str, PeftLayer], has_magnitudes: bool, wora: bool
) -> dict[str, Any]:
    rslora = all(layer.rslora for layer in layers.values())
    alphas = {
        name: layer.alpha / layer.rank**0.5 if rslora else layer.alpha
        for name, layer in layers.items()
    }
    first = next(iter(layers))
    r, alpha = layers[first].rank, alphas[first]
    return (
        _COMMON
        | dict(
            peft_type='LORA',
            use_rslora=rslora,
            r=r,
            lora_alpha=alpha,
            lora_dropout=max(layer.dropout for layer in layers.values()),
            use_dora=has_magnitudes and not wora,
            # A list would match by endings: two towers share those.
            target_modules='|'.join(map(re.escape, layers)),
            rank_pattern={
                f'^{re.escape(name)}': layer.rank
                for name, layer in layers.items()
                if layer.rank != r
            },
            alpha_pattern={
                f'^{re.escape(name)}': own
                for name, own in alphas.items()
                if own != alpha
            },
        )
        | (dict(use_wora=True) if wora else {})
    )
