"""Names of CLIP's weights: OpenAI, IRRA, Word4Per, and mmtpr's retrievers."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .keymap import Converted, KeyMap, Rule, prefixed, same_names

#: Where an ``mmtpr.OpenCLIPEncoder`` is in a retriever.
OURS = 'encoder.clip.'
_BLOCK = (
    'attn.in_proj_{p}',
    'attn.out_proj.{p}',
    'ln_{j}.{p}',
    'mlp.c_fc.{p}',
    'mlp.c_proj.{p}',
)
_NUMBER = 'a number of the architecture, which the config says'
_OWN_SCALE = "the encoder's own temperature, which IRRA does not keep"
#: Temperature of IRRA and Word4Per, an argument there and not a weight.
TEMPERATURE = 0.02


def clip_rules() -> list[Rule]:
    """Rules for the names of a CLIP, with a ViT or a ResNet.

    Returns:
        list[Rule]: OpenAI's names, which are open_clip's, on both sides.
    """
    towers = ('transformer', 'visual.transformer')
    bottleneck = 'visual.layer{i}.{j}'
    return same_names(
        'positional_embedding',
        'text_projection',
        'logit_scale',
        'token_embedding.weight',
        'ln_final.{p}',
        'visual.class_embedding',
        'visual.positional_embedding',
        'visual.proj',
        'visual.ln_pre.{p}',
        'visual.ln_post.{p}',
        'visual.conv1.weight',
        *(f'{t}.resblocks.{{i}}.{name}' for t in towers for name in _BLOCK),
        'visual.conv{i}.weight',
        'visual.bn{i}.{p}',
        f'{bottleneck}.conv{{k}}.weight',
        f'{bottleneck}.bn{{k}}.{{p}}',
        f'{bottleneck}.downsample.{{k}}.{{p}}',
        'visual.attnpool.positional_embedding',
        'visual.attnpool.q_proj.{p}',
        'visual.attnpool.k_proj.{p}',
        'visual.attnpool.v_proj.{p}',
        'visual.attnpool.c_proj.{p}',
    )


def openai_map(prefix: str = OURS) -> KeyMap:
    """Key map of OpenAI's CLIP to an encoder of mmtpr.

    Args:
        prefix (str): What stands before the encoder's names. Defaults to
            that of a retriever.

    Returns:
        KeyMap: OpenAI -> mmtpr. The way back leaves a retriever's losses and
        TINets out.
    """
    return KeyMap(
        'OpenAI CLIP',
        'mmtpr',
        prefixed(clip_rules(), target=prefix),
        dict.fromkeys(
            ('input_resolution', 'context_length', 'vocab_size'), _NUMBER
        ),
        {
            'losses.{rest}': 'a part of a loss, which CLIP has not',
            'query.{rest}': 'a TINet, which CLIP has not',
            'logit_scale': "the retriever's temperature",
        },
    )


def irra_map(losses: tuple[str, str] | None = ('id', 'mlm')) -> KeyMap:
    """Key map of IRRA and of Word4Per's first stage to a retriever.

    Args:
        losses (tuple[str, str], optional): What the retriever calls its
            losses of identity and of masked words. None leaves the heads
            out, in both directions. Defaults to ``('id', 'mlm')``.

    Returns:
        KeyMap: IRRA -> ``mmtpr.TextPersonRetriever``.
    """
    classifier = ('classifier.{p}',)
    words = (
        'cross_attn.in_proj_{p}',
        'cross_attn.out_proj.{p}',
        *(f'cross_modal_transformer.resblocks.{{i}}.{n}' for n in _BLOCK),
        'ln_pre_t.{p}',
        'ln_pre_i.{p}',
        'ln_post.{p}',
        'mlm_head.dense.{p}',
        'mlm_head.ln.{p}',
        'mlm_head.fc.{p}',
    )
    heads: list[Rule] = []
    ignored, ignored_back = {}, {}
    if losses:
        heads += same_names(*classifier, target=f'losses.{losses[0]}.')
        heads += same_names(*words, target=f'losses.{losses[1]}.')
    else:
        reason = "a head of the first stage's losses"
        ignored = dict.fromkeys((*classifier, *words), reason)
        ignored_back = {'losses.{rest}': reason}
    ignored_back[f'{OURS}logit_scale'] = _OWN_SCALE
    ignored_back['logit_scale'] = _OWN_SCALE
    rules = prefixed(clip_rules(), 'base_model.', OURS)
    return KeyMap(
        'IRRA or Word4Per', 'mmtpr', rules + heads, ignored, ignored_back
    )


def with_scale(
    converted: Converted, temperature: float = TEMPERATURE
) -> Converted:
    """Add CLIP's own temperature where a file has none.

    A retriever with a ``temperature`` does not read it; with it the
    checkpoint is complete.

    Args:
        converted (Converted): Names of mmtpr, changed in place.
        temperature (float): Written as log(1 / temperature).

    Returns:
        Converted: The same.
    """
    scale = torch.tensor(math.log(1 / temperature))
    converted.state.setdefault(f'{OURS}logit_scale', scale)
    return converted


def loss_names(state: Mapping[str, Tensor]) -> tuple[str, str]:
    """What a retriever calls its losses of identity and of masked words.

    Args:
        state (Mapping[str, Tensor]): State dict of a retriever.

    Returns:
        tuple[str, str]: The names, ``id`` and ``mlm`` where there are none.
    """
    names = {'classifier': 'id', 'mlm_head': 'mlm'}
    for key in state:
        parts = key.split('.')
        if parts[0] == 'losses' and len(parts) > 2 and parts[2] in names:
            names[parts[2]] = parts[1]
    return names['classifier'], names['mlm_head']
