"""Names of IRRA's weights, which are those of Word4Per's first stage."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..keymap import Converted, KeyMap, Rule, prefixed, same_names
from .clip import BLOCK, OURS, clip_rules

#: Why CLIP's temperature is left out on the way back.
OWN_SCALE = "the encoder's own temperature, which IRRA does not keep"
#: Temperature of IRRA and Word4Per, an argument there and not a weight.
TEMPERATURE = 0.02


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
        *(f'cross_modal_transformer.resblocks.{{i}}.{n}' for n in BLOCK),
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
    ignored_back[f'{OURS}logit_scale'] = OWN_SCALE
    ignored_back['logit_scale'] = OWN_SCALE
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
    """Names of a retriever's losses of identity and of masked words.

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
