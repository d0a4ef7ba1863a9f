#!/usr/bin/env python
"""Print the GPU memory that training with a config takes, without a GPU."""

import argparse
from pathlib import Path

from mmtpr.utils.options import add_config_options, at_least

ROOT = Path(__file__).resolve().parents[2]
ROW = '{:<10} {:<14} {:>10} {:>10} {:>10} {:>12} {:>8}  {}'
HEAD = (
    *('computes', 'checkpointing', 'parameters', 'gradients'),
    *('optimizer', 'activations', 'peak', 'fits'),
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='All in GiB: what is held for the backward pass, and the most '
        'that is held at once. A GPU fits if that, a tenth more and half a '
        'GiB for CUDA have room. Needs torch 2.9.',
    )
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--batch-size',
        type=at_least(1),
        metavar='N',
        help='samples on a GPU; by default what the config says',
    )
    add_config_options(parser, example='model.accumulate=8')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.registry import init_default_scope

from mmtpr.engine import launch
from mmtpr.testing.gpu_memory import SIZES, StepMemory, estimate_memory


def row(step: StepMemory) -> str:
    """Write a line of the table."""
    values = (
        *(step.parameters, step.gradients, step.optimizer),
        *(step.activations, step.peak),
    )
    size = step.fits()
    return ROW.format(
        step.dtype,
        'on' if step.checkpointing else 'off',
        *(f'{value / 2**30:.2f}' for value in values),
        f'{size} GB' if size else f'none of {SIZES[-1]} GB',
    )


def main() -> None:
    """Print the table."""
    args = parse_args()
    with launch.short_errors():
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
        init_default_scope(cfg.get('default_scope') or 'mmtpr')
        steps = estimate_memory(cfg, args.batch_size)
    size = args.batch_size or cfg.train_dataloader.batch_size
    parts = cfg.model.get('accumulate') or 1
    print(f'{args.config}: {size} samples a GPU in {parts} parts, GiB')
    print(ROW.format(*HEAD))
    for step in steps:
        print(row(step))


if __name__ == '__main__':
    main()
