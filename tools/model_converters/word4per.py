#!/usr/bin/env python
r"""Turn a checkpoint of Word4Per's second stage (TINet) into mmtpr's, or back.

    python tools/model_converters/word4per.py best.pth word4per.pth \
        --config configs/word4per_stage2_cuhk_itcpr.py
    python tools/model_converters/word4per.py epoch_60.pth best.pth --export

The release's files have two entries, "model" (the frozen encoder) and
"img2text" (the TINet). A file with the TINet alone is taken too; OUT has then
no encoder. A retriever with several TINets is exported one by one (--tinet);
files are joined by tools/model_converters/fuse_tinets.py. Stage one is for
tools/model_converters/irra.py.
"""

import argparse

from mmtpr.utils.options import conversion_parser


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = conversion_parser(__doc__, "checkpoint of Word4Per's stage two")
    parser.add_argument(
        '--tinet',
        type=int,
        default=0,
        metavar='N',
        help='with --export: which of several TINets (default: %(default)s)',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.checkpoints import Checkpoint, expect, read_checkpoint
from mmtpr.converters import export_stage2, import_stage2
from mmtpr.converters.command_line import (
    Conversion,
    run_conversion,
)
from mmtpr.converters.keys.word4per import ENTRY
from mmtpr.engine import launch


def convert(args: argparse.Namespace) -> Conversion:
    """Read and rename."""
    file = read_checkpoint(args.source, ENTRY)
    if args.export:
        return export(file, args)
    model, tinet = file.state, file.parts.get(ENTRY, {})
    if not tinet:  # a bare TINet, or something else
        expect(model, 'TINet', where=args.source)
        model, tinet = {}, model
    elif model:
        expect(model, 'IRRA or Word4Per', where=args.source)
    done = import_stage2(model, tinet, args.ignore)
    summary = summarise(len(done.state) - len(tinet), len(tinet))
    ignored = file.beside | done.ignored
    return Conversion.of_ours(done.state, summary, ignored)


def export(file: Checkpoint, args: argparse.Namespace) -> Conversion:
    """Write the release's two entries."""
    expect(file.state, 'mmtpr composed retrieval', where=args.source)
    model, tinet = export_stage2(file.state, args.tinet, args.ignore)
    content = {'model': model.state, ENTRY: tinet.state}
    ignored = file.beside | model.ignored | tinet.ignored
    summary = summarise(len(model.state), len(tinet.state))
    return Conversion(content, file.state, summary, ignored)


def summarise(encoder: int, tinet: int) -> str:
    """Say how many tensors there are."""
    return f'{encoder} tensors of the encoder, {tinet} of a TINet'


def main() -> None:
    """Convert."""
    args = parse_args()
    with launch.short_errors():
        lines = run_conversion(args, convert)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
