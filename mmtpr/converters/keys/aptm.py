"""Names of APTM's and Filtering-WoRA's release and of our encoder."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..keymap import (
    Converted,
    KeyMap,
    Rule,
    prefixed,
    same_names,
)
from .bert import BERT_EMBEDDINGS, BERT_LAYER, BERT_WORDS
from .swin import (
    SWIN_IGNORED,
    number_of_stages,
    stacked_order,
    swin_rules,
    unfold_order,
)

_VISION = 'vision_encoder.'
_IGNORED = {
    **{_VISION + name: reason for name, reason in SWIN_IGNORED.items()},
    'text_encoder.bert.embeddings.position_ids': (
        'the numbers 0, 1, 2, ..., which the model has by itself'
    ),
}


_ENCODER = 'encoder.'
_WRAPPED = f'{_ENCODER}module.'
_LOSSES = 'losses.'
#: What an adapted layer of Filtering-WoRA has, by mmtpr's names.
_LEAVES = 'lora_B', 'magnitude', 'alpha', 'beta', 'linear.weight'
#: What tells the side of magnitudes.
_ROWS = 'norm_rows'
_IGNORED_BACK = {
    f'vision.{{rest}}.{_ROWS}': (
        'that magnitudes are those of inputs, as all of the release'
    ),
}
#: Weight of a linear layer without an adapter.
_LINEAR = re.compile(
    r'vision\.stages\..*\.(qkv|proj|layers\.0\.0|layers\.1|reduction)\.weight'
)
_MERGE = 'Merge first: tools/model_converters/merge_adapters.py.'


def import_aptm(
    state: Mapping[str, Tensor], ignore: str | None = None
) -> Converted:
    """Rename a release's file into a ``mmtpr.CrossModalPersonRetriever``.

    With adapters the encoder is that of a ``mmtpr.WoRAModel``.

    Args:
        state (Mapping[str, Tensor]): Names of APTM or Filtering-WoRA.
        ignore (str, optional): Regular expression of further whole names to
            leave out.

    Returns:
        Converted: Names of the retriever.

    Raises:
        ValueError: If a key is known to no rule.
    """
    done = aptm_map(state)(state, ignore)
    adapted = [
        key.removesuffix('lora_A')
        for key in done.state
        if key.endswith('.lora_A')
    ]
    for layer in adapted:  # one magnitude an input
        done.state[layer + _ROWS] = torch.tensor(0.0)
    prefix = _WRAPPED if adapted else _ENCODER
    done.state = {prefix + key: value for key, value in done.state.items()}
    return done


def export_aptm(
    state: Mapping[str, Tensor], ignore: str | None = None
) -> Converted:
    """The way back of :func:`import_aptm`.

    Args:
        state (Mapping[str, Tensor]): State dict of a retriever.
        ignore (str, optional): Regular expression of further whole names to
            leave out.

    Returns:
        Converted: Names of APTM or Filtering-WoRA.

    Raises:
        ValueError: If a key is known to no rule, or the adapters are not
            those of Filtering-WoRA.
    """
    losses = [key for key in state if key.startswith(_LOSSES)]
    names = {
        key: key.removeprefix(
            _WRAPPED if key.startswith(_WRAPPED) else _ENCODER
        )
        for key in state
        if key not in losses
    }
    inner = {name: state[key] for key, name in names.items()}
    _check_adapters(inner)
    done = aptm_map(inner).inverse()(inner, ignore)
    outer = {name: key for key, name in names.items()}
    done.ignored = {outer[k]: why for k, why in done.ignored.items()}
    reason = 'a part of a loss, which the release has not'
    done.ignored |= dict.fromkeys(losses, reason)
    return done


def _check_adapters(inner: Mapping[str, Tensor]) -> None:
    """Adapters of another kind would be taken, and mean something else."""
    layers = [k.removesuffix('.lora_A') for k in inner if k.endswith('lora_A')]
    if not layers:
        return
    for layer in layers:
        lacking = [n for n in _LEAVES if f'{layer}.{n}' not in inner]
        if lacking:
            raise ValueError(
                f'"{layer}" has no {", ".join(lacking)}: these adapters are '
                f'no WoRA, or the weights below are not there. {_MERGE}'
            )
        length = inner[f'{layer}.magnitude'].numel()
        inputs = inner[f'{layer}.linear.weight'].shape[1]
        rows = inner.get(f'{layer}.{_ROWS}')
        if rows is not None and not rows.is_meta and rows.item():
            raise ValueError(
                f'"{layer}" has one magnitude an output feature '
                "(norm_dim='out'), and Filtering-WoRA one an input. "
                f'{_MERGE}'
            )
        if length != inputs:
            raise ValueError(
                f'"{layer}.magnitude" has {length} values for {inputs} '
                f"inputs; Filtering-WoRA has one an input (norm_dim='in'). "
                f'{_MERGE}'
            )
    bare = [k for k in inner if _LINEAR.fullmatch(k)]
    if bare:
        raise ValueError(
            f'{len(bare)} linear layers of the image tower have no adapter, '
            f'e.g. {bare[0]}; in Filtering-WoRA all have. {_MERGE}'
        )


def aptm_map(state: Mapping[str, Tensor]) -> KeyMap:
    """Key map of the releases to :class:`SwinBertEncoder`.

    Adapters of Filtering-WoRA get the names they have when all linear layers
    of ``vision`` are adapted: ``<layer>.linear``, ``.lora_A``, ``.lora_B``,
    ``.magnitude``, ``.alpha``, ``.beta``; on the way back ``.norm_rows``,
    which the release has not, is left out.

    Args:
        state (Mapping[str, Tensor]): A state dict of either layout, which
            tells the number of stages.

    Returns:
        KeyMap: Names of the release -> names of the encoder, and back by
        ``inverse()``.
    """
    stages = number_of_stages(state)
    return KeyMap(
        'APTM',
        'mmtpr.SwinBertEncoder',
        [
            *prefixed(
                [*_adapter_rules(), *swin_rules(stages)], _VISION, 'vision.'
            ),
            *same_names(
                *(f'bert.embeddings.{name}' for name in BERT_EMBEDDINGS),
                *(f'bert.encoder.layer.{{i}}.{name}' for name in BERT_LAYER),
                *(f'cls.{name}' for name in BERT_WORDS),
                source='text_encoder.',
                target='bert.',
            ),
            Rule('vision_proj.{p}', 'image_projection.{p}'),
            Rule('text_proj.{p}', 'text_projection.{p}'),
            *same_names('itm_head.{i}.{p}'),
            Rule('temp', 'temperature'),
        ],
        _IGNORED,
        _IGNORED_BACK,
    )


def _adapter_rules() -> list[Rule]:
    """Names of adapted linear layers, within the image tower."""
    block = 'layers.{i}.blocks.{j}.', 'stages.{i}.blocks.{j}.'
    layers = {
        block[0] + theirs: block[1] + ours
        for theirs, ours in (
            ('attn.qkv', 'attn.w_msa.qkv'),
            ('attn.proj', 'attn.w_msa.proj'),
            ('mlp.fc1', 'ffn.layers.0.0'),
            ('mlp.fc2', 'ffn.layers.1'),
        )
    }
    rules = [
        rule
        for theirs, ours in layers.items()
        for rule in _linear_rules(theirs, ours, _same, _same)
    ]
    merging = 'layers.{i}.downsample.reduction'
    return rules + _linear_rules(
        merging,
        merging.replace('layers', 'stages'),
        unfold_order,
        stacked_order,
    )


def _linear_rules(theirs: str, ours: str, order, back) -> list[Rule]:
    """Rules of one layer; ``order`` is that of its input features."""
    return [
        Rule(f'{theirs}.linear.weight', f'{ours}.linear.weight', order, back),
        Rule(f'{theirs}.linear.bias', f'{ours}.linear.bias'),
        Rule(
            f'{theirs}.lora.A',
            f'{ours}.lora_A',
            lambda value: order(value.t()).contiguous(),
            lambda value: back(value).t().contiguous(),
        ),
        Rule(f'{theirs}.lora.B', f'{ours}.lora_B', _transposed, _transposed),
        Rule(f'{theirs}.lora.alpha', f'{ours}.alpha', _one, _bare),
        Rule(f'{theirs}.lora.beta', f'{ours}.beta', _one, _bare),
        Rule(
            f'{theirs}.m',
            f'{ours}.magnitude',
            lambda value: order(value).squeeze(0),
            lambda value: back(value).unsqueeze(0),
        ),
    ]


def _same(value: Tensor) -> Tensor:
    return value


def _one(value: Tensor) -> Tensor:
    return value.reshape(1)


def _bare(value: Tensor) -> Tensor:
    return value.reshape(())


def _transposed(value: Tensor) -> Tensor:
    return value.t().contiguous()
