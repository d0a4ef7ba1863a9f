#!/usr/bin/env python
r"""Turn a CLIP of OpenAI into the encoder of a retriever, or back.

    python tools/model_converters/openai_clip.py ViT-B-16.pt clip.pth \
        --image-size 384 128

OpenAI's archives and state dicts are read, and so are files of open_clip with
the same names. pretrained of mmtpr.OpenCLIPEncoder takes all these as well;
a converted file is for load_from, with positions in the size of the images.
"""

import argparse

from mmtpr.utils.options import conversion_parser

OURS = (
    *('mmtpr text retrieval', 'mmtpr RDE'),
    'mmtpr composed retrieval',
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = conversion_parser(__doc__, 'checkpoint of OpenAI CLIP')
    size = dict(nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument(
        '--image-size', **size, help='resize the positions to images of this'
    )
    parser.add_argument(
        '--source-size',
        **size,
        help='size of the images SOURCE was trained with, if not square',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.checkpoints import expect, read_checkpoint
from mmtpr.converters import openai_map
from mmtpr.converters.command_line import (
    Conversion,
    run_conversion,
)
from mmtpr.engine import launch
from mmtpr.models.encoders.open_clip.pos_embed import resize_positions


def convert(args: argparse.Namespace) -> Conversion:
    """Read and rename."""
    file = read_checkpoint(args.source)
    key_map = openai_map()
    if args.export:
        expect(file.state, *OURS, where=args.source)
        key_map = key_map.inverse()
    else:
        expect(file.state, 'OpenAI CLIP', where=args.source)
    done = key_map(file.state, args.ignore)
    if args.image_size:
        resize(done.state, args.image_size, args.source_size)
    ignored = file.beside | done.ignored
    summary = f'{len(done.state)} tensors of a CLIP'
    if args.export:
        return Conversion(done.state, file.state, summary, ignored)
    return Conversion.of_ours(done.state, summary, ignored)


def resize(
    state: dict, size: tuple[int, int], source: tuple[int, int] | None
) -> None:
    """Resize the positions of a ViT in a state dict, in place."""
    patches = [k for k in state if k.endswith('visual.conv1.weight')]
    places = [k for k in state if k.endswith('visual.positional_embedding')]
    if not places:
        raise ValueError('--image-size is for ViTs, this CLIP is a ResNet.')
    patch = state[patches[0]].shape[-1]
    if any(side % patch for side in size):
        raise ValueError(f'{size} is no multiple of the patch size {patch}.')
    new = size[0] // patch, size[1] // patch
    old = source and (source[0] // patch, source[1] // patch)
    state[places[0]] = resize_positions(state[places[0]], new, source=old)


def main() -> None:
    """Convert."""
    args = parse_args()
    with launch.short_errors():
        lines = run_conversion(args, convert)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
