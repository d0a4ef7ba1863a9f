#!/usr/bin/env python
r"""Turn a checkpoint of IRRA or of Word4Per's stage one into mmtpr's, or back.

    python tools/model_converters/irra.py best.pth irra.pth \
        --config configs/irra_cuhk.py
    python tools/model_converters/irra.py epoch_60.pth best.pth --export

OUT loads as a whole (load_from, tools/test.py) and as pretrained of
mmtpr.OpenCLIPEncoder. With --export it is a checkpoint of IRRA's release.
"""

import argparse

from mmtpr.utils.options import conversion_parser


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = conversion_parser(__doc__, 'checkpoint of IRRA or Word4Per')
    parser.add_argument(
        '--no-heads',
        action='store_true',
        help='leave the heads of the losses out: for tests, not for training',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.checkpoints import expect, read_checkpoint
from mmtpr.converters import irra_map, loss_names, with_scale
from mmtpr.converters.command_line import (
    Conversion,
    run_conversion,
)
from mmtpr.engine import launch


def convert(args: argparse.Namespace) -> Conversion:
    """Read and rename."""
    file = read_checkpoint(args.source)
    wanted = 'mmtpr text retrieval' if args.export else 'IRRA or Word4Per'
    expect(file.state, wanted, where=args.source)
    key_map = irra_map(None if args.no_heads else loss_names(file.state))
    key_map = key_map.inverse() if args.export else key_map
    done = key_map(file.state, args.ignore)
    ignored = file.beside | done.ignored
    summary = f'{len(done.state)} tensors of a text retriever'
    if args.export:
        content = dict(model=done.state)
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
