#!/usr/bin/env python
r"""Turn a checkpoint of RDE into mmtpr's, or back.

    python tools/model_converters/rde.py best.pth rde.pth \
        --config configs/rde_cuhk.py
    python tools/model_converters/rde.py epoch_60.pth best.pth --export

OUT loads as a whole (load_from, tools/test.py) and as pretrained of
mmtpr.OpenCLIPEncoder. With --export it is a checkpoint of RDE's release.
"""

import argparse

from mmtpr.utils.options import conversion_parser


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = conversion_parser(__doc__, 'checkpoint of RDE')
    parser.add_argument(
        '--neck',
        default='tse',
        metavar='NAME',
        help='what OUT calls its selection of tokens, as the config does '
        '(tse); with --export the file tells',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.checkpoints import expect, read_checkpoint
from mmtpr.converters import neck_name, rde_map, with_scale, with_unused
from mmtpr.converters.command_line import (
    Conversion,
    run_conversion,
)
from mmtpr.engine import launch


def convert(args: argparse.Namespace) -> Conversion:
    """Read and rename."""
    file = read_checkpoint(args.source)
    wanted = 'mmtpr RDE' if args.export else 'RDE'
    expect(file.state, wanted, where=args.source)
    if args.export:
        key_map = rde_map(neck_name(file.state)).inverse()
    else:
        key_map = rde_map(args.neck)
    done = key_map(file.state, args.ignore)
    ignored = file.beside | done.ignored
    summary = f'{len(done.state)} tensors of a retriever with selected tokens'
    if args.export:
        content = dict(model=with_unused(done).state)
        return Conversion(content, file.state, summary, ignored)
    return Conversion.of_ours(with_scale(done).state, summary, ignored)


def main() -> None:
    """Convert."""
    args = parse_args()
    with launch.short_errors():
        lines = run_conversion(args, convert)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
