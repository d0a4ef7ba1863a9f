#!/usr/bin/env python
"""Write a synthetic pedestrian data set.

python tools/synthesis/write_toy_data.py --out data/toy --seed 0
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmtpr').is_dir():  # a source tree, installed or not
    sys.path.insert(0, str(ROOT))

from mmtpr.synthesis import ToySettings, write_toy_data  # noqa: E402


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        Namespace: The arguments.
    """
    default = ToySettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/toy', help='folder to make')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=default.size,
        metavar=('HEIGHT', 'WIDTH'),
        help='pixels of a picture',
    )
    for name, text in (
        ('seed', 'seed of everything'),
        ('train', 'people to train on, target set'),
        ('val', 'people to validate on, target set'),
        ('test', 'people to test on, target set'),
        ('views', 'pictures of each person, target set'),
        ('captions', 'captions of each picture, target set'),
        ('pretrain', 'people of the noisy pre-training set'),
        ('pretrain-views', 'pictures of each person there'),
    ):
        value = getattr(default, name.replace('-', '_'))
        parser.add_argument(f'--{name}', type=int, default=value, help=text)
    for name, text in (
        ('wrong', 'share of wrong captions in the pre-training set'),
        ('pretrain-quality', 'cleanness of its pictures; 1 = target set'),
    ):
        value = getattr(default, name.replace('-', '_'))
        parser.add_argument(f'--{name}', type=float, default=value, help=text)
    parser.add_argument(
        '--processes', type=int, default=os.cpu_count(), help='to draw with'
    )
    return parser.parse_args()


def main() -> None:
    """Write the data unless it is there."""
    args = vars(parse_args())
    out, processes = args.pop('out'), args.pop('processes')
    settings = ToySettings(**dict(args, size=tuple(args['size'])))
    start = time.time()
    written = write_toy_data(out, settings, processes)
    if written:
        print(f'Wrote {out} in {time.time() - start:.1f} s.')
    else:
        print(f'{out} is there with the same settings; nothing written.')


if __name__ == '__main__':
    main()
