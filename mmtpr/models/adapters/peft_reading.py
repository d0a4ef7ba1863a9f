"""Adapters of peft in models of mmtpr."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .inject import inject_adapters
from .offer import adaptable_layers, is_fused
from .peft_config import PeftConfig, read_peft_config
from .peft_layers import check_conv
from .peft_tensors import LayerTensors, own_a, read_layers
from .pissa import principal_factors
from .state import load_adapter_state_dict


class PeftAdapter(NamedTuple):
    """An adapter of peft as mmtpr says it.

    Attributes:
        adapter (dict): ``adapter`` of an :class:`AdapterModel`.
        targets (list[dict]): Its ``targets``, one a layer.
        state (dict[str, Tensor]): For :func:`load_adapter_state_dict`.
    """

    adapter: dict[str, Any]
    targets: list[dict[str, Any]]
    state: dict[str, Tensor]


def read_peft_adapter(
    model: nn.Module,
    folder: str | Path,
    root: str = '',
    out_proj_twice: bool | None = None,
) -> PeftAdapter:
    """Read an adapter of peft for a model.

    Understood are LoRA (of linear layers, convolutions and
    ``nn.MultiheadAttention``, with rslora, patterns of ranks and alphas, and
    PiSSA), DoRA, OFT, and WoRA in the layout of huggingface/peft#2872. What
    cannot be expressed is refused by name.

    Args:
        model (nn.Module): The model without adapters.
        folder (str | Path): With ``adapter_config.json`` and
            ``adapter_model.safetensors``.
        root (str): Part of the model that peft was put around. Defaults to
            ``''``, the whole model.
        out_proj_twice (bool, optional): Whether the peft that trained the
            adapter applied the change of ``out_proj`` inside an
            ``nn.MultiheadAttention`` twice; see :func:`peft_adapter`. Must be
            said where there are such layers. Defaults to None.

    Returns:
        PeftAdapter: What to inject and what to load.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If something cannot be expressed or does not fit the
            model.
    """
    config = read_peft_config(folder)
    layers = read_layers(folder)
    part = _part(model, root)
    names = adaptable_layers(part, convs=True)
    reader = _Reader(config, part, out_proj_twice)
    strange = [n for n in layers if not reader.knows(n, names)]
    if strange:
        raise ValueError(
            f'"{folder}" adapts layers that the model has not, or that are no '
            f'plain linear layers or convolutions: {", ".join(strange[:5])}. '
            'Is the root the part that peft was put around?'
        )
    for name, tensors in layers.items():
        reader.add(name, tensors)
        tensors.refuse_rest(config.kind)
    prefix = f'{root}.' if root else ''
    targets = [
        dict(target, type=re.escape(prefix + target['type']))
        for target in reader.targets
    ]
    state = {prefix + key: value for key, value in reader.state.items()}
    return PeftAdapter(reader.adapter(), targets, state)


def load_peft_adapter(
    model: nn.Module,
    folder: str | Path,
    root: str = '',
    out_proj_twice: bool | None = None,
) -> list[str]:
    """Adapt a model as a folder of peft says, in place.

    Args:
        model (nn.Module): The model without adapters, with the weights that
            the adapter was trained on.
        folder (str | Path): See :func:`read_peft_adapter`.
        root (str): Likewise.
        out_proj_twice (bool, optional): Likewise.

    Returns:
        list[str]: Names of the adapted layers.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If something cannot be expressed or does not fit.
    """
    read = read_peft_adapter(model, folder, root, out_proj_twice)
    names = inject_adapters(model, read.adapter, read.targets)
    load_adapter_state_dict(model, read.state)
    return names


def _part(model: nn.Module, root: str) -> nn.Module:
    try:
        return model.get_submodule(root)
    except AttributeError as error:
        raise ValueError(f'The model has no part "{root}".') from error


class _Reader:
    """Collects targets and tensors, layer by layer."""

    def __init__(
        self, config: PeftConfig, part: nn.Module, twice: bool | None
    ) -> None:
        self.config, self.twice = config, twice
        self.modules = dict(part.named_modules(remove_duplicate=False))
        self.targets: list[dict[str, Any]] = []
        self.state: dict[str, Tensor] = {}

    def knows(self, name: str, names: dict[str, nn.Module]) -> bool:
        """Tell whether the model has a layer that can be adapted."""
        if f'{name}.out_proj' in names:
            return is_fused(names[f'{name}.out_proj'])
        # The q, k and v of an attention are names without a layer.
        return name in names and name in self.modules

    def adapter(self) -> dict[str, Any]:
        """Kind and the options that all layers share."""
        raw, kind = self.config.raw, self.config.kind
        if kind == 'OFT':
            terms = raw.get('num_cayley_neumann_terms', 5)
            neumann = raw.get('use_cayley_neumann', True)
            return dict(
                type=kind,
                neumann_terms=terms if neumann else 0,
                share_blocks=bool(raw.get('block_share')),
            )
        options: dict[str, Any] = dict(type=kind)
        if raw.get('lora_dropout'):
            options['dropout'] = raw['lora_dropout']
        if raw.get('use_rslora'):
            options['rslora'] = True
        if kind in ('DoRA', 'WoRA'):  # as peft computes them
            options |= dict(norm_dim='out', detach_norm=True)
        if self.config.starts_pissa:
            options['init'] = 'pissa'
        return options

    def add(self, name: str, tensors: LayerTensors) -> None:
        """Take a layer's tensors."""
        layer: Any = self.modules[name]
        if self.config.kind == 'OFT':
            self._add_rotation(name, layer, tensors)
        elif is_fused(layer):
            self._add_attention(name, layer, tensors)
        else:
            self._add_factors(name, layer, tensors)

    def _add_rotation(
        self, name: str, layer: Any, tensors: LayerTensors
    ) -> None:
        rotation = tensors.take('oft_R', None, None)
        # b (b - 1) / 2 numbers a block of size b.
        size = round((1 + (1 + 8 * rotation.shape[1]) ** 0.5) / 2)
        options, width = self.adapter(), getattr(layer, 'in_features', 0)
        rows = 1 if options['share_blocks'] else width // size
        numbers = size * (size - 1) // 2
        if tuple(rotation.shape) != (rows, numbers) or width % size:
            raise ValueError(
                f'oft_R of "{name}" has the shape {tuple(rotation.shape)} in '
                f'the folder of peft, which are no rotations of the {width} '
                f'inputs of a linear layer{", shared" * (rows == 1)}.'
            )
        self.targets.append(dict(type=name, block_size=size))
        self.state[f'{name}.oft_R'] = rotation
        terms = float(options['neumann_terms'])
        self.state[f'{name}.neumann_terms'] = torch.tensor(terms)

    def _add_factors(
        self, name: str, layer: Any, tensors: LayerTensors
    ) -> None:
        kind = self.config.kind
        out, width, *places = layer.weight.shape
        groups = getattr(layer, 'groups', 1)
        a = tensors.take('lora_A', None, width * groups, *places)
        rank = len(a)
        alpha = self.config.alpha(name, rank)
        ones = [1] * len(places)
        b = tensors.take('lora_B', out, rank // groups, *ones)
        if isinstance(layer, nn.Conv2d):
            check_conv(name, layer, kind != 'LoRA')
            a, b = own_a(name, a, layer), b.flatten(1)
        self._target(name, rank, alpha)
        root = rank**0.5 if self.config.raw.get('use_rslora') else rank
        scale = alpha / root
        self.state |= {f'{name}.lora_A': a, f'{name}.lora_B': b}
        if kind == 'LoRA':
            number = torch.tensor(scale * rank)
            self._add_start(name, layer, rank, scale)
        else:
            magnitude = tensors.take_vector('lora_magnitude_vector', out)
            self.state[f'{name}.magnitude'] = magnitude
            self.state[f'{name}.norm_rows'] = torch.tensor(1.0)
            number = torch.tensor(scale)
        beta: Any = torch.tensor(1.0)
        if kind == 'WoRA':
            number = number * tensors.take_vector('lora_wora_alpha', 1)
            beta = tensors.take_vector('lora_wora_beta', 1)
        self.state[f'{name}.alpha'] = number
        if kind != 'LoRA':
            self.state[f'{name}.beta'] = beta

    def _target(self, name: str, rank: int, alpha: float) -> None:
        rslora = self.config.raw.get('use_rslora')
        if self.config.kind != 'LoRA' and not rslora:
            alpha = alpha / rank  # that of DoRA and WoRA is the whole factor
        self.targets.append(dict(type=name, rank=rank, alpha=alpha))

    def _add_start(
        self, name: str, layer: Any, rank: int, scale: float
    ) -> None:
        """The start of PiSSA, which peft computes again from the base."""
        if not self.config.starts_pissa:
            return
        groups = getattr(layer, 'groups', 1)
        a, b = principal_factors(layer.weight.detach(), rank, groups, scale)
        like = self.state[f'{name}.lora_A']
        self.state[f'{name}.pissa_A'] = a.view_as(like)
        self.state[f'{name}.pissa_B'] = b

    def _add_attention(
        self, name: str, layer: Any, tensors: LayerTensors
    ) -> None:
        """Cut the change of a packed weight into those of its parts."""
        if self.config.kind != 'LoRA' or self.config.starts_pissa:
            raise ValueError(
                f'"{name}" is an nn.MultiheadAttention; only plain LoRA can '
                'be expressed there.'
            )
        width = layer.embed_dim
        if not layer._qkv_same_embed_dim:
            raise ValueError(
                f'"{name}" has keys or values of another width, which peft '
                'does not take.'
            )
        a = tensors.take('lora_A', None, width)
        b = tensors.take('lora_B', 3 * width, len(a))
        alpha = self.config.alpha(name, len(a))
        root = len(a) ** 0.5 if self.config.raw.get('use_rslora') else len(a)
        scale = alpha / root
        parts = dict(
            zip('qkv', zip([a] * 3, b.chunk(3), strict=True), strict=True)
        )
        if 'out.lora_A' in tensors or 'out.lora_B' in tensors:
            out_a = tensors.take('out.lora_A', len(a), width)
            out = tensors.take('out.lora_B', width, len(a))
            if out.count_nonzero() and self.twice is None:
                raise ValueError(
                    f'"{name}" has a change of out_proj, which peft up to '
                    '0.21.2 applies twice (huggingface/peft#3774). Say by '
                    'which peft it was trained: out_proj_twice=True '
                    '(--out-proj twice) for such a version, False (once) for '
                    'one without the fault.'
                )
            factor = 2.0 if self.twice else 1.0
            parts['out_proj'] = out_a, out * factor
        changed = {n: p for n, p in parts.items() if p[1].count_nonzero()}
        for part, (down, up) in (changed or parts).items():
            # Columns of other parts are zero here, and would only cost.
            used = up.any(0)
            used = used if used.any() else torch.ones_like(used)
            rank = int(used.sum())
            full = f'{name}.{part}'
            options: dict[str, Any] = dict(rank=rank)
            options['alpha'] = scale * (
                rank**0.5 if self.config.raw.get('use_rslora') else rank
            )
            self.targets.append(dict(options, type=full))
            self.state |= {
                f'{full}.lora_A': down[used],
                f'{full}.lora_B': up[:, used],
                f'{full}.alpha': torch.tensor(scale * rank),
            }
