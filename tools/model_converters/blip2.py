#!/usr/bin/env python
r"""Turn a BLIP-2 checkpoint of LAVIS or of FAFA's release into one of mmtpr.

    python tools/model_converters/blip2.py fafa_release.pth fafa_blip2.pth
    python tools/model_converters/blip2.py epoch_10.pth fafa.pth --export

OUT holds the encoder under "encoder." and, of FAFA, the masked feature
predictor under "head.". It loads as a whole (load_from, tools/test.py) or as
pretrained of mmtpr.BLIP2Encoder, which takes the original files as well.
With --export it has LAVIS' names under "model"; its head that writes captions
(Qformer.cls) is not there, so load it with strict=False.
"""

import argparse

from mmtpr.utils.options import conversion_parser

ENCODER, HEAD = 'encoder.', 'head.reasoning.'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = conversion_parser(__doc__, 'checkpoint of LAVIS or FAFA')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.checkpoints import expect, read_checkpoint
from mmtpr.converters.command_line import (
    Conversion,
    run_conversion,
)
from mmtpr.converters.keys.blip2 import (
    ConvertedBlip2,
    convert_lavis,
    export_lavis,
    is_lavis,
)
from mmtpr.engine import launch
from mmtpr.models.encoders.blip2.weights import find_state


def convert(source: str, ignore: str | None) -> ConvertedBlip2:
    """Read and rename.

    Args:
        source (str): Checkpoint file.
        ignore (str, optional): Keys to leave out.

    Returns:
        ConvertedBlip2: All keys, sorted.

    Raises:
        ValueError: If it is no such checkpoint or a key is unknown.
    """
    file = read_checkpoint(source)
    state = find_state(file.state, source)
    if not is_lavis(state):
        raise ValueError(
            f'"{source}" is in the form of transformers or mmtpr '
            'already: set pretrained of mmtpr.BLIP2Encoder to it.'
        )
    # What is neither below a prefix nor a tensor; the map knows no such key.
    used = set(map(id, state.values()))
    odd = {k: v for k, v in file.state.items() if id(v) not in used}
    done = convert_lavis(state | odd, ignore)
    done.ignored |= file.beside
    return done


def checkpoint_of(converted: ConvertedBlip2) -> dict:
    """Names as in a retriever of mmtpr.

    Args:
        converted (ConvertedBlip2): The parts.

    Returns:
        dict: With ``state_dict`` and ``meta``.
    """
    state = {}
    for name, value in converted.encoder.items():
        owner = '' if name == 'temperature' else 'blip2.'
        state[f'{ENCODER}{owner}{name}'] = value
    for name, value in converted.mfr.items():
        state[f'{HEAD}{name}'] = value
    return dict(state_dict=state, meta=dict(ignored=converted.ignored))


def import_(args: argparse.Namespace) -> Conversion:
    """LAVIS or FAFA to mmtpr."""
    done = convert(args.source, args.ignore)
    content = checkpoint_of(done)
    summary = (
        f'{len(done.encoder)} tensors of the encoder, {len(done.mfr)} of the '
        'masked feature predictor'
    )
    return Conversion(content, content['state_dict'], summary, done.ignored)


def export(args: argparse.Namespace) -> Conversion:
    """The way back from mmtpr to LAVIS or FAFA."""
    file = read_checkpoint(args.source)
    expect(file.state, 'mmtpr BLIP-2', where=args.source)
    encoder, mfr = {}, {}
    for key, value in file.state.items():
        if key.startswith(HEAD):
            mfr[key.removeprefix(HEAD)] = value
        else:
            name = key.removeprefix(ENCODER)
            encoder[name.removeprefix('blip2.')] = value
    done = export_lavis(encoder, mfr, args.ignore)
    summary = f'{len(done.state)} tensors of a BLIP-2'
    ignored = file.beside | done.ignored
    return Conversion(dict(model=done.state), file.state, summary, ignored)


def main() -> None:
    """Convert."""
    args = parse_args()
    with launch.short_errors():
        lines = run_conversion(args, export if args.export else import_)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
