"""Names of BLIP-2's weights: LAVIS and FAFA's release to transformers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..keymap import Converted, KeyMap, Rule, same_names
from .bert import BERT_INPUTS, BERT_OUTPUT

_BERT = 'Qformer.bert.embeddings.'
_LAYER = 'Qformer.bert.encoder.layer.{i}.', 'qformer.encoder.layer.{i}.'
_BLOCK = 'visual_encoder.blocks.{i}.', 'vision_model.encoder.layers.{i}.'
_PATCHES = 'vision_model.embeddings.'
_POSITIONS = f'{_BERT}position_ids'
_WORD_PLACES = 'embeddings.position_embeddings.weight'
_QV_BIAS = re.compile(r'visual_encoder\.blocks\.(\d+)\.attn\.([qv])_bias')
_QKV_BIAS = re.compile(
    r'vision_model\.encoder\.layers\.(\d+)\.self_attn\.qkv\.bias'
)
_MFR = 'predictor.'


def _qformer_rules() -> list[Rule]:
    theirs, ours = _LAYER
    kinds = ('attention', 'crossattention')
    halves = ('', '_query')
    inputs = [
        Rule(f'{theirs}{kind}.self.{name}', f'{ours}{kind}.attention.{name}')
        for kind in kinds
        for name in BERT_INPUTS
    ]
    return inputs + same_names(
        *(f'{kind}.output.{name}' for kind in kinds for name in BERT_OUTPUT),
        *(f'intermediate{half}.dense.{{p}}' for half in halves),
        *(f'output{half}.{name}' for half in halves for name in BERT_OUTPUT),
        source=theirs,
        target=ours,
    )


LAVIS_MAP = KeyMap(
    'BLIP-2 stage 1 or FAFA',
    'mmtpr.BLIP2Encoder',
    [
        *same_names('query_tokens', 'itm_head.{p}'),
        Rule('temp', 'temperature'),
        Rule('visual_encoder.cls_token', f'{_PATCHES}class_embedding'),
        Rule('visual_encoder.pos_embed', f'{_PATCHES}position_embedding'),
        Rule(
            'visual_encoder.patch_embed.proj.{p}',
            f'{_PATCHES}patch_embedding.{{p}}',
        ),
        Rule(
            f'{_BLOCK[0]}norm{{j}}.{{p}}', f'{_BLOCK[1]}layer_norm{{j}}.{{p}}'
        ),
        Rule(
            f'{_BLOCK[0]}attn.qkv.weight', f'{_BLOCK[1]}self_attn.qkv.weight'
        ),
        Rule(
            f'{_BLOCK[0]}attn.proj.{{p}}',
            f'{_BLOCK[1]}self_attn.projection.{{p}}',
        ),
        Rule(f'{_BLOCK[0]}mlp.fc{{j}}.{{p}}', f'{_BLOCK[1]}mlp.fc{{j}}.{{p}}'),
        Rule('ln_vision.{p}', 'vision_model.post_layernorm.{p}'),
        Rule(
            f'{_BERT}word_embeddings.weight',
            'embeddings.word_embeddings.weight',
        ),
        Rule(f'{_BERT}position_embeddings.weight', _WORD_PLACES),
        Rule(f'{_BERT}LayerNorm.{{p}}', 'qformer.layernorm.{p}'),
        *_qformer_rules(),
        Rule('vision_proj.{p}', 'vision_projection.{p}'),
        Rule('text_proj.{p}', 'text_projection.{p}'),
        Rule('mlm_predictor.predictor.{i}.{p}', f'{_MFR}{{i}}.{{p}}'),
    ],
    {
        _POSITIONS: 'the numbers 0, 1, 2, ..., which the model has by itself',
        'Qformer.cls.{rest}': (
            'the head that writes captions, which retrieval does not use'
        ),
    },
)


@dataclass
class ConvertedBlip2:
    """A state dict of LAVIS or FAFA, sorted; no key is lost.

    Attributes:
        encoder (dict[str, Tensor]): By names of transformers'
            ``Blip2ForImageTextRetrieval``, and ``temperature``; float32.
        mfr (dict[str, Tensor]): FAFA's masked feature predictor, by names of
            :class:`mmtpr.models.losses.MaskedFeatureReasoning`.
        ignored (dict[str, str]): Key -> why it is left out.
    """

    encoder: dict[str, Tensor] = field(default_factory=dict)
    mfr: dict[str, Tensor] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def is_lavis(state: Mapping[str, Tensor]) -> bool:
    """Tell a state dict with LAVIS' names.

    Args:
        state (Mapping[str, Tensor]): State dict without prefix.

    Returns:
        bool: True if it has a ViT and a Q-Former named as there.
    """
    return 'visual_encoder.cls_token' in state and any(
        key.startswith('Qformer.') for key in state
    )


def convert_lavis(
    state: Mapping[str, Tensor], ignore: str | None = None
) -> ConvertedBlip2:
    """Rename a state dict of LAVIS' BLIP-2 stage 1 or of FAFA's release.

    LAVIS keeps the biases of q and v and none of k; transformers has one
    bias of all three, whose part of k is zero here and, as softmax does not
    see it, stays without effect.

    Args:
        state (Mapping[str, Tensor]): Names as in LAVIS, without prefix.
        ignore (str, optional): Regular expression of further whole names to
            leave out. Defaults to None.

    Returns:
        ConvertedBlip2: All keys, sorted.

    Raises:
        ValueError: If a key is known to no rule or lacks its counterpart.
    """
    rest = {k: v for k, v in state.items() if not _QV_BIAS.fullmatch(k)}
    done = LAVIS_MAP(rest, ignore)
    result = ConvertedBlip2(ignored=done.ignored)
    for name, value in done.state.items():
        part = result.mfr if name.startswith(_MFR) else result.encoder
        part[name] = value
    result.encoder.update(_join_biases(state))
    return result


def export_lavis(
    encoder: Mapping[str, Tensor],
    mfr: Mapping[str, Tensor] | None = None,
    ignore: str | None = None,
) -> Converted:
    """Rename back to LAVIS; outputs stay the same.

    The part of k in the biases is dropped: softmax does not see it. LAVIS'
    head that writes captions is not there any more.

    Args:
        encoder (Mapping[str, Tensor]): As in :class:`ConvertedBlip2`.
        mfr (Mapping[str, Tensor], optional): As in :class:`ConvertedBlip2`.
        ignore (str, optional): Regular expression of further whole names to
            leave out.

    Returns:
        Converted: Names of LAVIS and FAFA.

    Raises:
        ValueError: If a key is known to no rule.
    """
    biases = {
        k: (match[1], v)
        for k, v in encoder.items()
        if (match := _QKV_BIAS.fullmatch(k))
    }
    rest = {k: v for k, v in encoder.items() if k not in biases}
    done = LAVIS_MAP.inverse()({**rest, **(mfr or {})}, ignore)
    for number, value in biases.values():
        block = f'visual_encoder.blocks.{number}.attn.'
        q, _, v = value.float().chunk(3)
        done.state |= {
            f'{block}q_bias': q.clone(),
            f'{block}v_bias': v.clone(),
        }
    if _WORD_PLACES in encoder:
        places = torch.arange(len(encoder[_WORD_PLACES]))
        done.state[_POSITIONS] = places[None]
    return done


def _join_biases(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        if match := _QV_BIAS.fullmatch(key):
            pairs.setdefault(match[1], {})[match[2]] = value.float()
    joined = {}
    for block, pair in pairs.items():
        if set(pair) != {'q', 'v'}:
            raise ValueError(
                f'visual_encoder.blocks.{block}.attn has only '
                f'{"".join(pair)}_bias; q_bias and v_bias belong together.'
            )
        name = f'vision_model.encoder.layers.{block}.self_attn.qkv.bias'
        zeros = torch.zeros_like(pair['v'])
        joined[name] = torch.cat([pair['q'], zeros, pair['v']])
    return joined
