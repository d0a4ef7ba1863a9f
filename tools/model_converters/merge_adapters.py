#!/usr/bin/env python
"""Merge the adapters of a checkpoint and write an ordinary one.

The result has the keys of the model without adapters: a config without
``WoRAModel``/``AdapterModel`` loads it, at no extra cost in inference.

    python tools/model_converters/merge_adapters.py CONFIG CHECKPOINT OUT

CHECKPOINT is a full checkpoint, or one with adapters only when the config
brings the weights below them (pretrained, init_cfg, load_from). Nothing is
written unless every merged layer, and the features of a retriever as a whole,
are what they were before.
"""

import argparse
import math
import sys

from mmtpr.utils.options import add_model_options, add_overwrite, check_output


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        epilog='A config without adapters loads the result.',
    )
    add_model_options(parser)
    parser.add_argument('out', help='path of the merged checkpoint')
    add_overwrite(parser)
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-5,
        help='greatest difference between outputs before and after, '
        'relative to the largest output (default: %(default)s)',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

import torch
from torch import nn

from mmtpr.checkpoints.function_facts import (
    FACTS,
    function_facts,
)
from mmtpr.checkpoints.plain import to_plain
from mmtpr.converters.adapted_models import (
    greatest_gap,
    load_named,
    probe,
    refuse_broken_weights,
    without_heads,
)
from mmtpr.engine import launch
from mmtpr.models.adapters import (
    explain_ties,
    merge_adapters,
    named_adapters,
    tied_weights,
)
from mmtpr.text.config_tokenizers import token_facts
from mmtpr.utils import atomic_write


def random_input(layer: nn.Linear | nn.Conv2d) -> torch.Tensor:
    """Draw an input of a layer.

    Args:
        layer (nn.Linear | nn.Conv2d): The layer.

    Returns:
        Tensor: Of shape (16, in), or (2, in, H, W), a little larger than what
        the kernel and its padding cover.
    """
    if isinstance(layer, nn.Linear):
        shape = [16, layer.in_features]
    else:
        shape = [2, layer.in_channels]
        for place, kernel in enumerate(layer.kernel_size):
            reach = layer.dilation[place] * (kernel - 1)
            pads = 0 if layer.padding == 'valid' else layer.padding
            pad = reach if pads == 'same' else pads and pads[place]
            shape.append(max(reach, pad) + 4)
    return torch.randn(shape).to(layer.weight.dtype)


@torch.no_grad()
def merge_layers(model: nn.Module) -> dict[str, float]:
    """Merge every layer and compare its outputs on random input.

    Args:
        model (nn.Module): A model with adapters, merged in place.

    Returns:
        dict[str, float]: Greatest difference by layer.

    Raises:
        ValueError: If there are no adapters.
    """
    gaps = {}
    for name, layer in named_adapters(model):
        x = random_input(layer.linear)
        before = layer(x)
        layer.merge()
        after = layer.linear(x)
        gaps |= greatest_gap({name: before}, {name: after})
    if not gaps:
        raise ValueError('There are no adapters to merge in this model.')
    return gaps


def check(gaps: dict[str, float], tolerance: float) -> float:
    """Greatest of the differences; one above the tolerance stops."""
    name = max(gaps, key=lambda key: (math.isnan(gaps[key]), gaps[key]))
    if not gaps[name] <= tolerance:
        raise ValueError(
            f'{name}: merged and unmerged outputs differ by {gaps[name]:.2g} '
            f'of the largest output (allowed: {tolerance:g}). Nothing was '
            'written; see --tolerance.'
        )
    return gaps[name]


def main() -> None:
    """Merge and write."""
    args = parse_args()
    read = (args.checkpoint, args.load_from, args.config)
    check_output(args.out, args.overwrite, read)
    model, missing = load_named(args)
    if missing:
        print(
            f'{len(missing)} keys are not in the checkpoint; their weights '
            'are those of pretrained, init_cfg or load_from (heads of losses '
            f'are left out), among them {missing[0]}.'
        )
    refuse_broken_weights(model, args.checkpoint)
    if ties := tied_weights(model):
        raise ValueError(
            f'{explain_ties(ties)}: exclude these layers from the targets, '
            'or test with the adapters unmerged. Nothing was written.'
        )
    before = probe(model)
    layers = merge_layers(model)
    plain = merge_adapters(model, remove=True)
    features = {
        f'the {kind} features': gap
        for kind, gap in greatest_gap(before, probe(plain)).items()
    }
    worst = check(layers | features, args.tolerance)
    state = without_heads(plain.state_dict(), missing)
    cfg = launch.load_config(args.config, args.cfg_options)
    facts = function_facts(plain, token_facts(cfg))
    meta = {'merged_adapters': len(layers), FACTS: facts}
    file = dict(meta=to_plain(meta), state_dict=state)
    with atomic_write(args.out) as handle:
        torch.save(file, handle)
    print(
        f'Merged {len(layers)} layers into "{args.out}"; outputs of the '
        f'layers{" and the features" if features else ""} differ by at most '
        f'{worst:.1e} of the largest output.'
    )


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        sys.exit(f'merge_adapters: {error}')
