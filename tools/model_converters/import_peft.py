#!/usr/bin/env python
r"""Turn an adapter of peft into an adapter file of mmtpr.

    python tools/model_converters/import_peft.py CONFIG FOLDER OUT \
        --root encoder.clip --wrap encoder

CONFIG is that of the model without adapters, FOLDER what peft saved
(adapter_config.json and adapter_model.safetensors) around the part that --root
names. The adapter and targets for the config are printed: put them into a
mmtpr.AdapterModel around the part that --wrap names, and OUT is its adapter
file, for load_from and the converters. What cannot be expressed is refused.
"""

import argparse
import sys
from pathlib import Path

from mmtpr.utils.options import (
    add_config_options,
    add_overwrite,
    check_output,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='path of the config without adapters')
    parser.add_argument('folder', help='folder that peft saved')
    parser.add_argument('out', help='adapter file to write')
    parser.add_argument(
        '--root',
        default='',
        metavar='NAME',
        help='part of the model that peft was put around (default: all)',
    )
    parser.add_argument(
        '--wrap',
        metavar='NAME',
        help='part of the model to put mmtpr.AdapterModel around, such as '
        'encoder (default: that of --root)',
    )
    parser.add_argument(
        '--out-proj',
        choices=('once', 'twice'),
        help='how often the peft that trained it applied the change of '
        'out_proj in an nn.MultiheadAttention: twice up to 0.21.2',
    )
    add_overwrite(parser)
    add_config_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

import re

import torch
from mmengine.registry import init_default_scope

from mmtpr.models.adapters import read_peft_adapter
from mmtpr.registry import MODELS
from mmtpr.utils import atomic_write
from mmtpr.utils.config_file import read_config
from mmtpr.utils.console import init_quietly


def main() -> None:
    """Convert."""
    args = parse_args()
    wrap = args.root if args.wrap is None else args.wrap
    inside = not wrap or args.root == wrap or args.root.startswith(f'{wrap}.')
    if not inside:
        raise ValueError(
            f'--root {args.root} is not inside --wrap {wrap}; the wrapped '
            'part must hold what peft adapted.'
        )
    check_output(args.out, args.overwrite, (args.config,))
    cfg = read_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    model = MODELS.build(cfg.model)
    if hasattr(model, 'init_weights'):
        init_quietly(model)
    twice = args.out_proj and args.out_proj == 'twice'
    read = read_peft_adapter(model, Path(args.folder), args.root, twice)
    prefix = f'{wrap}.' if wrap else ''
    state = {
        f'{prefix}module.{key.removeprefix(prefix)}': value
        for key, value in read.state.items()
    }
    with atomic_write(args.out) as file:
        torch.save(dict(meta={}, state_dict=state), file)
    print(f'adapter = {read.adapter!r}')
    print('targets = [')
    for target in read.targets:
        name = target['type'].removeprefix(re.escape(prefix))
        print(f'    {dict(target, type=name)!r},')
    print(']')
    print(f'{args.out}: {read.adapter["type"]}, {len(state)} tensors.')


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        sys.exit(f'import_peft: {error}')
