#!/usr/bin/env python
r"""Turn a Swin of Microsoft into mmpretrain.SwinTransformer, or back.

    python tools/model_converters/swin.py \
        swin_base_patch4_window7_224_22k.pth swin.pth --windows 8 8 8 4

OUT holds the backbone without prefix, for
init_cfg=dict(type='Pretrained', checkpoint='swin.pth'). --windows brings the
relative positions to other windows, one number a stage, as APTM does;
mmpretrain's own resizing needs a SciPy older than 1.14.
"""

import argparse

from mmtpr.utils.options import conversion_parser

BACKBONE = 'backbone.'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = conversion_parser(__doc__, "Microsoft's checkpoint")
    parser.add_argument(
        '--windows',
        nargs='+',
        type=int,
        metavar='SIDE',
        help='new side of the window in each stage',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.checkpoints import expect, read_checkpoint
from mmtpr.converters import resize_windows, swin_map
from mmtpr.converters.command_line import (
    Conversion,
    run_conversion,
)
from mmtpr.engine import launch


def convert(args: argparse.Namespace) -> Conversion:
    """Read, rename and resize."""
    file = read_checkpoint(args.source)
    names = 'Microsoft Swin', 'mmpretrain.SwinTransformer'
    expect(file.state, names[args.export], where=args.source)
    # Classifiers of mmpretrain keep the backbone under a prefix.
    state = {k.removeprefix(BACKBONE): v for k, v in file.state.items()}
    key_map = swin_map(state)
    done = (key_map.inverse() if args.export else key_map)(state, args.ignore)
    if args.windows:
        done.state = resize_windows(done.state, args.windows)
    ignored = file.beside | done.ignored
    summary = f'{len(done.state)} tensors of a Swin'
    if args.export:
        content = dict(model=done.state)
        return Conversion(content, state, summary, ignored)
    return Conversion.of_ours(done.state, summary, ignored)


def main() -> None:
    """Convert."""
    args = parse_args()
    with launch.short_errors():
        lines = run_conversion(args, convert)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
