#!/usr/bin/env python
"""List what may be wrong with a dataset, with images, for people to look at.

Writes to OUT:

    suspects.csv         the worst pairs by their scores; fill in the column
                         "wrong" with 0 or 1, and join_scores.py learns of it
    shared_pids.csv      identities that occur in two splits
    near_duplicates.csv  images whose embeddings have a cosine above
                         --threshold, with their splits and identities; only
                         with a CHECKPOINT, whose model embeds the images of
                         all data loaders of the config
    page.html            the first of each, with thumbnails, in one file
"""

import argparse
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_allow_partial,
    add_config_options,
    add_overwrite,
    add_pair_options,
    add_reading_options,
    at_least,
    check_output,
)

ROOT = Path(__file__).resolve().parents[2]
FILES = ('suspects.csv', 'shared_pids.csv', 'near_duplicates.csv', 'page.html')
LOADERS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('scores', help='score file')
    add('config', help='config with the scored data, and the model')
    add('checkpoint', nargs='?', help='weights, to find near-duplicates')
    add_pair_options(parser)
    add(
        '--num-pairs',
        type=at_least(1),
        default=1000,
        help='suspects to list; default: %(default)s',
    )
    add(
        '--threshold',
        type=float,
        default=0.98,
        help='least cosine of near-duplicates; default: %(default)s',
    )
    add(
        '--num-couples',
        type=at_least(1),
        default=10000,
        help='near-duplicates to list, the nearest; default: %(default)s',
    )
    add(
        '--num-shown',
        type=at_least(0),
        default=50,
        help='of each on the page; default: %(default)s',
    )
    add('--out', default='suspects', help='folder to write to')
    add_reading_options(parser)
    add_overwrite(parser)
    add_allow_partial(parser)
    add_config_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtpr.datasets.checks.text_person import (
    datasets_of_config,
    overlapping_pids,
)
from mmtpr.engine import launch
from mmtpr.filtering import load_scores, setup, suspects
from mmtpr.filtering.exporting import write_csv
from mmtpr.filtering.near_duplicates import image_vectors, near_duplicates
from mmtpr.filtering.scores import check_scored
from mmtpr.structures.pairs import relative_names
from mmtpr.utils import atomic_write
from mmtpr.visualization.result_page import render_page


def find_couples(args: argparse.Namespace, cfg: Config) -> tuple[list, int]:
    """Find near-duplicates among the images of all data loaders."""
    splits = {
        name: setup.build_raw_dataset(cfg, f'{name}_dataloader.dataset')
        for name in LOADERS
        if cfg.get(f'{name}_dataloader')
    }
    images = suspects.images_of(splits, args.image_key)
    scorer, _ = setup.build_scorer(
        cfg,
        args.config,
        args.checkpoint,
        allow_partial=args.allow_partial,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        skip_broken=True,
    )
    feats, usable = image_vectors(scorer, [image.entry for image in images])
    if len(usable) < len(images):
        lost = len(images) - len(usable)
        print(f'{lost} images cannot be read and are left out.')
    cosine, couples, number = near_duplicates(
        feats, args.threshold, args.num_couples
    )
    rows = [
        suspects.Couple(images[usable[i]], images[usable[j]], value)
        for (i, j), value in zip(
            couples.tolist(), cosine.tolist(), strict=True
        )
    ]
    return rows, number


def main() -> None:
    """Report."""
    args = parse_args()
    out = Path(args.out)
    with launch.short_errors():
        for name in FILES:
            check_output(out / name, args.overwrite, [args.scores])
        if not 0 < args.threshold <= 1:
            raise LaunchError(
                '--threshold must be above 0 and at most 1, got '
                f'{args.threshold}.'
            )
        scores = load_scores(args.scores)
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
        init_default_scope(cfg.get('default_scope') or 'mmtpr')
        pairs = setup.load_pairs(
            cfg, args.dataset, args.image_key, args.caption_key
        )
        check_scored(scores, pairs, args.scores)
        worst = suspects.worst_pairs(scores, args.num_pairs)
        names = relative_names(pairs.paths)
        write_csv(
            out / 'suspects.csv',
            ['pair', 'wrong', 'rank', 'score', 'path', 'caption'],
            [
                (i, '', scores.rank[i], scores.score[i], names[i],
                 pairs.captions[i])
                for i in worst
            ],
        )  # fmt: skip
        shared = overlapping_pids(datasets_of_config(cfg)[0], len(pairs))
        write_csv(
            out / 'shared_pids.csv',
            ['dataset', 'splits', 'pid'],
            [
                (found['dataset'], ' '.join(found['splits']), pid)
                for found in shared
                for pid in found['examples']
            ],
        )
        couples: list[Any] = []
        number = 0
        if args.checkpoint:
            couples, number = find_couples(args, cfg)
        write_csv(
            out / 'near_duplicates.csv',
            suspects.COUPLE_COLUMNS,
            [couple.row for couple in couples],
        )
        shown = args.num_shown
        sections = [
            suspects.pair_section(pairs, scores, i) for i in worst[:shown]
        ] + [couple.section for couple in couples[:shown]]
        about = (
            f'{len(worst)} suspects, {number} couples of images with a '
            f'cosine from {args.threshold:g} on; the csv files beside this '
            'page list them.'
        )
        page = render_page(sections, 'What may be wrong', about)
        with atomic_write(out / 'page.html', 'w') as file:
            file.write(page)
        pids = len({(f['dataset'], p) for f in shared for p in f['examples']})
        left = number - len(couples)
        print(
            f'{len(worst)} suspects of {len(pairs)} pairs, {pids} identities '
            f'in two splits, {number} near-duplicates'
            + ('' if args.checkpoint else ' (no CHECKPOINT: not looked for)')
            + (f', of which the {len(couples)} nearest are listed'
               if left else '')
            + f'. Wrote the report to "{out}".'
        )  # fmt: skip


if __name__ == '__main__':
    main()
