"""Names of BLIP-2's weights: LAVIS and FAFA's release to transformers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

_LAYER = r'Qformer\.bert\.encoder\.layer\.(\d+)'
_BLOCK = r'visual_encoder\.blocks\.(\d+)'
_QFORMER = r'qformer.encoder.layer.\1'
_VISION = r'vision_model.encoder.layers.\1'

#: Regular expression of a whole name in LAVIS -> name in transformers.
_RULES = [
    (r'(query_tokens)', r'\1'),
    (r'temp', 'temperature'),
    (
        r'visual_encoder\.cls_token',
        'vision_model.embeddings.class_embedding',
    ),
    (
        r'visual_encoder\.pos_embed',
        'vision_model.embeddings.position_embedding',
    ),
    (
        r'visual_encoder\.patch_embed\.proj\.(.*)',
        r'vision_model.embeddings.patch_embedding.\1',
    ),
    (_BLOCK + r'\.norm([12])\.(.*)', _VISION + r'.layer_norm\2.\3'),
    (_BLOCK + r'\.attn\.qkv\.(.*)', _VISION + r'.self_attn.qkv.\2'),
    (_BLOCK + r'\.attn\.proj\.(.*)', _VISION + r'.self_attn.projection.\2'),
    (_BLOCK + r'\.(mlp\.fc[12]\..*)', _VISION + r'.\2'),
    (r'ln_vision\.(.*)', r'vision_model.post_layernorm.\1'),
    (
        r'Qformer\.bert\.embeddings\.((?:word|position)_embeddings\..*)',
        r'embeddings.\1',
    ),
    (r'Qformer\.bert\.embeddings\.LayerNorm\.(.*)', r'qformer.layernorm.\1'),
    (
        _LAYER + r'\.((?:cross)?attention)\.self\.(.*)',
        _QFORMER + r'.\2.attention.\3',
    ),
    (
        _LAYER + r'\.((?:cross)?attention\.output\..*)',
        _QFORMER + r'.\2',
    ),
    (
        _LAYER + r'\.((?:intermediate|output)(?:_query)?\..*)',
        _QFORMER + r'.\2',
    ),
    (r'vision_proj\.(.*)', r'vision_projection.\1'),
    (r'text_proj\.(.*)', r'text_projection.\1'),
    (r'(itm_head\..*)', r'\1'),
]
_RULES = [(re.compile(pattern), new) for pattern, new in _RULES]
_QV_BIAS = re.compile(_BLOCK + r'\.attn\.([qv])_bias')
_MFR = re.compile(r'mlm_predictor\.(predictor\..*)')

#: What has no place in the encoder, and why.
_IGNORED = [
    (
        re.compile(r'Qformer\.bert\.embeddings\.position_ids'),
        'the numbers 0, 1, 2, ..., which the model has by itself',
    ),
    (
        re.compile(r'Qformer\.cls\..*'),
        'the head that writes captions, which retrieval does not use',
    ),
]


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
    """Whether a state dict has LAVIS' names.

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
    result = ConvertedBlip2()
    biases: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for key, value in state.items():
        value = value.float() if value.is_floating_point() else value
        bias, mfr = _QV_BIAS.fullmatch(key), _MFR.fullmatch(key)
        if reason := _why_ignored(key, ignore):
            result.ignored[key] = reason
        elif bias:
            biases.setdefault(bias[1], {})[bias[2]] = value
        elif mfr:
            result.mfr[mfr[1]] = value
        elif name := _rename(key):
            result.encoder[name] = value
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f'{len(unknown)} keys belong to no part of BLIP-2 stage 1 or '
            f'FAFA, e.g. {", ".join(unknown[:3])}. If they are not needed, '
            'name them with a regular expression (ignore; --ignore of '
            'tools/model_converters/blip2.py).'
        )
    result.encoder.update(_join_biases(biases))
    return result


def _why_ignored(key: str, ignore: str | None) -> str | None:
    for pattern, reason in _IGNORED:
        if pattern.fullmatch(key):
            return reason
    if ignore is not None and re.fullmatch(ignore, key):
        return f'asked for by "{ignore}"'
    return None


def _rename(key: str) -> str | None:
    for pattern, new in _RULES:
        match = pattern.fullmatch(key)
        if match:
            return match.expand(new)
    return None


def _join_biases(biases: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    joined = {}
    for block, pair in biases.items():
        if set(pair) != {'q', 'v'}:
            raise ValueError(
                f'visual_encoder.blocks.{block}.attn has only '
                f'{"".join(pair)}_bias; q_bias and v_bias belong together.'
            )
        name = f'vision_model.encoder.layers.{block}.self_attn.qkv.bias'
        zeros = torch.zeros_like(pair['v'])
        joined[name] = torch.cat([pair['q'], zeros, pair['v']])
    return joined
