#!/usr/bin/env python
"""Derive composed triplets or queries from captioned images.

Reads an annotation file in the layout of CUHK-PEDES, ICFG-PEDES or RSTPReid,
finds images whose captions tell the same outfit but for a thing or two, and
writes what leads from one to the other as a sentence:

    derive_triplets.py reid_raw.json --split train --out SynCPR.json
    derive_triplets.py reid_raw.json --split test --queries --out folder

The second form writes folder/query.json and folder/gallery.json, to test on.
By default reference and target are different people, who were described
alike; where people change clothes, --same-person takes images of one.
"""

import argparse
import json
from pathlib import Path

from mmtpr.utils.options import (
    add_debug,
    add_overwrite,
    at_least,
    check_output,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('annotations', help='annotation file')
    add('--split', default='train', help='split to read')
    add('--val-pids', type=at_least(0), default=0, help='see the datasets')
    add('--out', required=True, help='SynCPR.json, or a folder of --queries')
    add('--queries', action='store_true', help='write ITCPR files')
    add('--prefix', default='', help='put before the paths, such as imgs/')
    add(
        '--max-changes',
        type=at_least(1),
        default=1,
        help='things that may differ',
    )
    add('--same-person', action='store_true', help='pairs within a person')
    add(
        '--per-look',
        type=at_least(1),
        help='targets for each outfit; default 20, of --queries 2',
    )
    add(
        '--per-pair',
        type=at_least(1),
        help='triplets of two outfits; default 2, not for --queries',
    )
    add('--seed', type=at_least(0), default=0)
    add_overwrite(parser)
    add_debug(parser)
    args = parser.parse_args()
    if args.queries and args.per_pair is not None:
        parser.error('--per-pair is of triplets; --queries has one of each')
    args.per_pair = args.per_pair or 2
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.datasets import TextPersonDataset
from mmtpr.datasets.annotations.records import PersonRecord
from mmtpr.datasets.triplet_derivation.derive import (
    derive_queries,
    derive_triplets,
)
from mmtpr.engine import launch
from mmtpr.utils import atomic_write


def read_split(args: argparse.Namespace) -> list[PersonRecord]:
    """Read the images of a split."""
    dataset = TextPersonDataset(
        ann_file=args.annotations,
        split=args.split,
        val_pids=args.val_pids,
        empty_captions='skip',
        lazy_init=True,
    )
    records = dataset.load_records()
    without = sum(not record.captions for record in records)
    if without:
        print(f'{without} of {len(records)} images have no caption; left out.')
    return [
        record._replace(path=f'{args.prefix}{record.path}')
        for record in records
        if record.captions
    ]


def write(path: Path, content: list[dict]) -> None:
    """Write a json file, whole or not at all."""
    with atomic_write(path, 'w') as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
    print(f'{path}: {len(content):,} records')


def derive(args: argparse.Namespace) -> None:
    """Derive and write."""
    out = Path(args.out)
    names = ('query.json', 'gallery.json') if args.queries else ('',)
    for name in names:
        check_output(out / name, args.overwrite, [args.annotations])
    records = read_split(args)
    options = dict(
        max_changes=args.max_changes,
        same_person=args.same_person,
        seed=args.seed,
    )
    if args.per_look is not None:
        options['per_look'] = args.per_look
    if args.queries:
        queries, gallery = derive_queries(records, **options)
        write(out / 'query.json', queries)
        write(out / 'gallery.json', gallery)
        return
    triplets = derive_triplets(records, per_pair=args.per_pair, **options)
    write(out, triplets)


def main() -> None:
    """Run."""
    args = parse_args()
    with launch.short_errors():
        derive(args)


if __name__ == '__main__':
    main()
