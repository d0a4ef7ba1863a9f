#!/usr/bin/env python
r"""Export the adapters of a checkpoint for peft.

    python tools/model_converters/export_peft.py CONFIG CHECKPOINT OUT \
        --root encoder.clip

OUT is a folder with adapter_config.json and adapter_model.safetensors, for
peft.PeftModel.from_pretrained(base, OUT). The base is the part of the model
that --root names, without adapters: with --root encoder.clip a model of
open_clip. What was trained beside the adapters (norms, heads) is no part of
an adapter; --base writes such a base model, frozen weights and all.
"""

import argparse
import json
import sys
from pathlib import Path

from mmtpr.utils.options import (
    add_model_options,
    add_overwrite,
    check_output,
)

PEFT_WEIGHTS, PEFT_CONFIG = 'adapter_model.safetensors', 'adapter_config.json'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    add_overwrite(parser)
    parser.add_argument('out', help='folder to write')
    parser.add_argument(
        '--root',
        default='',
        metavar='NAME',
        help='part of the model to put peft around (default: all of it)',
    )
    parser.add_argument(
        '--out-proj',
        choices=('once', 'twice'),
        help='how often the peft in use applies the change of out_proj in '
        'an nn.MultiheadAttention: twice up to 0.21.2',
    )
    parser.add_argument(
        '--wora',
        action='store_true',
        help='keep alpha and beta of WoRA apart, in the layout of '
        'huggingface/peft#2872, which no release of peft reads yet',
    )
    parser.add_argument(
        '--base', metavar='FILE', help='write the weights of the base as well'
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

import torch
from safetensors.torch import save

from mmtpr.converters.adapted_models import (
    load_named,
    without_heads,
)
from mmtpr.models.adapters import peft_adapter, remove_adapters
from mmtpr.utils import atomic_write


def main() -> None:
    """Export."""
    args = parse_args()
    out = Path(args.out)
    weights, config_file = out / PEFT_WEIGHTS, out / PEFT_CONFIG
    read = (args.checkpoint, args.load_from, args.config)
    for path in filter(None, (weights, config_file, args.base)):
        check_output(path, args.overwrite, read)
    model, missing = load_named(args)
    twice = args.out_proj and args.out_proj == 'twice'
    config, state = peft_adapter(model, args.root, twice, args.wora)
    with atomic_write(weights) as file:
        file.write(save(state, metadata=dict(format='pt')))
    with atomic_write(config_file, 'w') as file:
        json.dump(config, file, indent=2)
    kind = 'DoRA' if config.get('use_dora') else config['peft_type']
    kind = 'WoRA' if args.wora else kind.replace('LORA', 'LoRA')
    print(f'{out}: {kind}, {len(state)} tensors.')
    if args.base:
        base = remove_adapters(model).get_submodule(args.root)
        root = f'{args.root}.' if args.root else ''
        below = [k.removeprefix(root) for k in missing if k.startswith(root)]
        state = without_heads(base.state_dict(), below)
        with atomic_write(args.base) as file:
            torch.save(state, file)
        print(f'{args.base}: the base model, {len(state)} tensors')
        if missing:
            print(
                f'{len(missing)} weights of the model are not of the '
                'checkpoint but of pretrained, init_cfg or load_from, among '
                f'them {missing[0]}.'
            )


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        sys.exit(f'export_peft: {error}')
