"""Putting adapters into a model."""

from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from torch import nn

from .attention import AdaptedMultiheadAttention
from .fused_qkv import AdaptedQKV
from .kinds import Plan
from .layer import AdapterLayer
from .nested import leave_nested_tensors
from .offer import adaptable_layers, is_fused
from .state import check_adapter_keys
from .targets import select


def set_submodule(model: nn.Module, name: str, module: nn.Module) -> None:
    """Replace a submodule.

    Args:
        model (nn.Module): The root.
        name (str): Dotted name below the root.
        module (nn.Module): What to put there.
    """
    parent, _, leaf = name.rpartition('.')
    setattr(model.get_submodule(parent), leaf, module)


def _split_fused(model: nn.Module, chosen: dict[str, Plan]) -> None:
    """Replace the fused layers that have a chosen part."""
    layers = adaptable_layers(model, convs=True, parts=True)
    fused: dict[str, Any]
    fused = {n.rpartition('.')[0]: layers[n] for n in chosen}
    built: dict[int, nn.Module] = {}
    for name, module in fused.items():
        if name and is_fused(module):
            split: Any = AdaptedMultiheadAttention
        elif name and layers.get(name) is module:
            split = AdaptedQKV  # a part has the layer of its whole
        else:
            continue
        if id(module) not in built:
            built[id(module)] = split(module)
        set_submodule(model, name, built[id(module)])


def inject_adapters(
    model: nn.Module,
    adapter_cfg: dict,
    targets: Sequence[dict],
    exclude: Sequence[str] = (),
) -> list[str]:
    r"""Adapt layers of a model in place.

    Pretrained weights must be in already: magnitudes are taken from them. The
    adapted layers' own weights are frozen; the rest of the model is left as
    it is (see :func:`freeze_except_adapters`). Loading a state dict in which
    an adapter key is missing or has no place raises from now on, with
    ``strict=False`` too.

    Args:
        model (nn.Module): Any model. Reached are ``nn.Linear``, ``nn.Conv2d``
            and, as the names ``x.q x.k x.v x.out_proj``, the parts of an
            ``nn.MultiheadAttention`` called ``x``. A fused ``x.qkv`` of timm,
            mmpretrain or DINOv2 is a layer as it is and offers ``x.qkv.q
            x.qkv.k x.qkv.v`` too (see :func:`register_fused_qkv`).
        adapter_cfg (dict): ``type`` (``'WoRA'``, ``'DoRA'``, ``'LoRA'``,
            ``'OFT'`` or a class) and the options of the adapter.
        targets (Sequence[dict]): Each has ``type``, a regular expression that
            must match a layer's whole name, and optionally options that
            override those of ``adapter_cfg``. The first target that matches
            a layer decides. A target that matches convolutions alone adapts
            them; one that matches other layers too leaves them, unless it
            has ``convs=True``. Where it matches a ``qkv`` and its parts, the
            whole is meant.
        exclude (Sequence[str]): Regular expressions of names to leave alone.

    Returns:
        list[str]: Names of the adapted layers, in the model's order.

    Raises:
        ValueError: If a target adapts nothing (the message lists near names),
            a layer is adapted already, an option is wrong, or the groups of a
            convolution do not divide the rank. The model is unchanged then.

    Examples:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.MultiheadAttention(8, 2))
        >>> inject_adapters(
        ...     model,
        ...     dict(type='WoRA', rank=4),
        ...     targets=[
        ...         dict(type='0'),
        ...         dict(type=r'1\.(q|v)', rank=2),
        ...     ],
        ... )
        ['0', '1.q', '1.v']
    """
    if not targets:
        raise ValueError('targets is empty: name the layers to adapt.')
    chosen = select(model, adapter_cfg, targets, exclude)
    _split_fused(model, chosen)
    built: dict[int, AdapterLayer] = {}
    for name, plan in chosen.items():
        layer: Any = model.get_submodule(name)
        if id(layer) not in built and not isinstance(layer, AdapterLayer):
            adapter: Any = plan.kind.of(layer)
            built[id(layer)] = adapter(layer, **plan.options)
        set_submodule(model, name, built.get(id(layer), layer))
    leave_nested_tensors(model)
    hooks = model._load_state_dict_pre_hooks.values()
    if not any(getattr(h, 'hook', h) is check_adapter_keys for h in hooks):
        model.register_load_state_dict_pre_hook(check_adapter_keys)
    print_log(f'Adapted {len(chosen)} layers.', logger='current')
    return list(chosen)
