#!/usr/bin/env python
r"""Turn a checkpoint of APTM or Filtering-WoRA into one of mmtpr, or back.

    python tools/model_converters/aptm.py checkpoint_best.pth aptm.pth
    python tools/model_converters/aptm.py epoch_30.pth best.pth --export

OUT is of a mmtpr.CrossModalPersonRetriever. Without adapters it loads as a
whole (load_from, tools/test.py) and as pretrained of mmtpr.SwinBertEncoder.
A file of Filtering-WoRA keeps its adapters: load it into a config whose
encoder is a mmtpr.WoRAModel around mmtpr.SwinBertEncoder with targets
vision\..*, or merge them (tools/model_converters/merge_adapters.py).
The releases load what --export writes with strict=False, as they always do:
masks and positions, which a model computes, are not in it.
"""

import argparse

from mmtpr.utils.options import conversion_parser

THEIRS = 'APTM or X-VLM', 'Filtering-WoRA'
OURS = 'mmtpr cross-modal retrieval', 'mmtpr with adapters'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = conversion_parser(__doc__, 'checkpoint of APTM, Filtering-WoRA')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.checkpoints import expect, read_checkpoint
from mmtpr.converters.command_line import (
    Conversion,
    run_conversion,
)
from mmtpr.converters.keys.aptm import (
    export_aptm,
    import_aptm,
)
from mmtpr.engine import launch


def unwrapped(key: str) -> str:
    """Name of a weight as in the retriever without adapters."""
    return key.replace('encoder.module.', 'encoder.', 1)


def convert(args: argparse.Namespace) -> Conversion:
    """Read and rename."""
    file = read_checkpoint(args.source)
    expect(file.state, *(OURS if args.export else THEIRS), where=args.source)
    if args.export:
        # The mark of adapters hides what is below them.
        plain = [key for key in file.state if '.lora_' not in key]
        expect(map(unwrapped, plain), OURS[0], where=args.source)
    rename = export_aptm if args.export else import_aptm
    done = rename(file.state, args.ignore)
    adapters = sum(
        name.endswith(('.lora_A', '.lora.A')) for name in done.state
    )
    summary = f'{len(done.state)} tensors, {adapters} adapted layers'
    ignored = file.beside | done.ignored
    if args.export:
        content = dict(model=done.state)
        return Conversion(content, file.state, summary, ignored)
    return Conversion.of_ours(done.state, summary, ignored)


def main() -> None:
    """Convert."""
    args = parse_args()
    with launch.short_errors():
        lines = run_conversion(args, convert)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
