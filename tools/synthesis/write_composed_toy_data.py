#!/usr/bin/env python
"""Write synthetic triplets and test sets of composed person retrieval.

python tools/synthesis/write_composed_toy_data.py --out data/toy_composed
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmtpr').is_dir():  # a source tree, installed or not
    sys.path.insert(0, str(ROOT))

from mmtpr.synthesis import (  # noqa: E402
    ComposedSettings,
    write_composed_toy_data,
)


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        Namespace: The arguments.
    """
    default = ComposedSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--out', default='data/toy_composed', help='folder to make'
    )
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
        ('train', 'people of the triplets'),
        ('val', 'people of the validation set'),
        ('test', 'people of the test set'),
        ('views', 'pictures of each outfit of the triplets'),
        ('changes', 'queries of each person of val and test'),
    ):
        value = getattr(default, name)
        parser.add_argument(f'--{name}', type=int, default=value, help=text)
    parser.add_argument(
        '--processes', type=int, default=os.cpu_count(), help='to draw with'
    )
    return parser.parse_args()


def main() -> None:
    """Write the data unless they are there."""
    args = vars(parse_args())
    out, processes = args.pop('out'), args.pop('processes')
    settings = ComposedSettings(**dict(args, size=tuple(args['size'])))
    start = time.time()
    if write_composed_toy_data(out, settings, processes):
        print(f'Wrote {out} in {time.time() - start:.1f} s.')
    else:
        print(f'{out} is there with the same settings; nothing written.')


if __name__ == '__main__':
    main()
