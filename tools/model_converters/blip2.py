#!/usr/bin/env python
"""Turn a BLIP-2 checkpoint of LAVIS or of FAFA's release into one of mmtpr.

OUT holds the encoder under "encoder." and, of FAFA, the masked feature
predictor under "head.". It loads as a whole (load_from, tools/test.py) or as
pretrained of mmtpr.BLIP2Encoder, which takes the original files as well.
Every key is accounted for: converted, or listed with the reason why not; an
unknown one stops.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmtpr').is_dir():  # a source tree, installed or not
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from mmtpr.models.encoders.blip2_keys import (  # noqa: E402
    ConvertedBlip2,
    convert_lavis,
    is_lavis,
)
from mmtpr.models.encoders.blip2_weights import read_state  # noqa: E402
from mmtpr.utils import atomic_write, launch  # noqa: E402
from mmtpr.utils.errors import LaunchError  # noqa: E402


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', help='checkpoint of LAVIS or FAFA')
    parser.add_argument('out', help='file to write (.pth)')
    parser.add_argument(
        '--ignore',
        metavar='REGEX',
        help='whole names of further keys to leave out',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace OUT if it exists'
    )
    return parser.parse_args()


def convert(source: str, ignore: str | None) -> ConvertedBlip2:
    """Read and rename.

    Args:
        source (str): Checkpoint file.
        ignore (str, optional): Keys to leave out.

    Returns:
        ConvertedBlip2: All keys, sorted.

    Raises:
        LaunchError: If it is no such checkpoint or a key is unknown.
    """
    try:
        state = read_state(source)
        if not is_lavis(state):
            raise ValueError(
                f'"{source}" is in the form of transformers or mmtpr '
                'already: set pretrained of mmtpr.BLIP2Encoder to it.'
            )
        return convert_lavis(state, ignore)
    except (ValueError, FileNotFoundError) as error:
        raise LaunchError(str(error)) from error


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
        state[f'encoder.{owner}{name}'] = value
    for name, value in converted.mfr.items():
        state[f'head.reasoning.{name}'] = value
    return dict(state_dict=state, meta=dict(ignored=converted.ignored))


def main() -> None:
    """Convert."""
    args = parse_args()
    with launch.short_errors():
        if Path(args.out).exists() and not args.overwrite:
            raise LaunchError(
                f'"{args.out}" exists already; --overwrite replaces it.'
            )
        converted = convert(args.source, args.ignore)
        with atomic_write(args.out) as file:
            torch.save(checkpoint_of(converted), file)
    print(
        f'{args.out}: {len(converted.encoder)} tensors of the encoder, '
        f'{len(converted.mfr)} of the masked feature predictor.'
    )
    for reason, count in Counter(converted.ignored.values()).items():
        first = next(k for k, r in converted.ignored.items() if r == reason)
        print(f'Left out {count}, e.g. {first}: {reason}.')


if __name__ == '__main__':
    main()
