#!/usr/bin/env python
"""Give captions that do not fit their image to the image they fit best.

The pairs that the rule keeps stay. Of every other caption the model of CONFIG
finds the nearest images of the whole set; the caption moves to the best of
them if it is also the best of these captions for that image, and is dropped
otherwise. Nothing on disk is changed: OUT is read by ReassignedDataset.
"""

import argparse
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_allow_partial,
    add_config_options,
    add_embedding_options,
    add_overwrite,
    add_pair_options,
    at_least,
    check_output,
)

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('config', help='config with the model and the scored data')
    add('checkpoint', nargs='?', help='weights; default: what CONFIG loads')
    add('--scores', required=True, help='score file of the data')
    add('--max-rank', type=at_least(1), help='ranks up to this one stay')
    add('--keep-ratio', type=float, help='this share of the pairs stays')
    add('--min-score', type=float, help='scores from this one on stay')
    add(
        '--num-neighbours',
        type=at_least(2),
        default=16,
        help='images that a caption may be compared on; default: %(default)s',
    )
    add(
        '--min-fit',
        type=float,
        help='least relevance of a caption to its new image',
    )
    add(
        '--min-lead',
        type=float,
        help='how much its relevance to that image must be above the one to '
        'the next image; moves fewer captions, and more of them rightly',
    )
    add('--out', required=True, help='file to write (.npz)')
    add_pair_options(parser)
    add_embedding_options(parser)
    add(
        '--skip-broken',
        action='store_true',
        help='give no caption to an unreadable image instead of stopping',
    )
    add_overwrite(parser)
    add_allow_partial(parser)
    add_config_options(parser, what='CONFIG')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

import numpy as np
from mmengine.registry import init_default_scope

from mmtpr.engine import launch
from mmtpr.filtering import keep_mask, load_scores, setup
from mmtpr.filtering.reassigning import (
    REASSIGNMENT_VERSION,
    Reassignment,
    check_margins,
    nearest_images,
    reassign,
    save_reassignment,
)
from mmtpr.filtering.rules import check_rules
from mmtpr.filtering.scores import check_scored
from mmtpr.utils.precision import allow_tf32


def main() -> None:
    """Reassign."""
    args = parse_args()
    with launch.short_errors():
        if not args.out.endswith('.npz'):
            raise LaunchError(f'--out must end in .npz, got "{args.out}".')
        check_output(args.out, args.overwrite, [args.scores, args.checkpoint])
        rules = dict(
            max_rank=args.max_rank,
            keep_ratio=args.keep_ratio,
            min_score=args.min_score,
        )
        check_rules(**rules)
        check_margins(args.min_fit, args.min_lead)
        scores = load_scores(args.scores)
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
        init_default_scope(cfg.get('default_scope') or 'mmtpr')
        allow_tf32(False)
        pairs = setup.load_pairs(
            cfg, args.dataset, args.image_key, args.caption_key
        )
        check_scored(scores, pairs, args.scores)
        keep = keep_mask(scores.rank, scores.score, **rules)
        suspects = np.flatnonzero(~keep)
        if not len(suspects):
            raise LaunchError(
                'The rule keeps every pair, so that no caption is left to '
                'move; keep fewer.'
            )
        scorer, who = setup.build_scorer(
            cfg,
            args.config,
            args.checkpoint,
            args.pipeline,
            args.allow_partial,
            batch_size=args.batch_size,
            num_workers=args.num_workers,
            amp=args.amp,
            skip_broken=args.skip_broken,
        )
        fit, images, unreadable = nearest_images(
            scorer, pairs, suspects.tolist(), args.num_neighbours
        )
        image = reassign(
            keep,
            suspects,
            fit,
            images,
            pairs.paths,
            args.min_fit,
            args.min_lead,
        )
        rule = {k: v for k, v in rules.items() if v is not None}
        meta = dict(
            version=REASSIGNMENT_VERSION,
            data=scores.meta['data'],
            scorer=who,
            kept_by=dict(scorer=scores.meta['scorer'], rule=rule),
            num_neighbours=args.num_neighbours,
            min_fit=args.min_fit,
            min_lead=args.min_lead,
        )
        made = Reassignment(image, meta)
        save_reassignment(args.out, made)
        counts = made.counts
        print(
            f'Of {len(made)} pairs {counts["kept"]} stay, {counts["moved"]} '
            f'captions move to another image, {counts["dropped"]} are '
            f'dropped; {unreadable} images could not be read. Wrote '
            f'"{args.out}"; ReassignedDataset reads it.'
        )


if __name__ == '__main__':
    main()
