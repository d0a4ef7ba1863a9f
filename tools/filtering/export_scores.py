#!/usr/bin/env python
"""Export scores for the tools of others.

--out names the form by its ending:

    .npy      sorted uids of the pairs that the rule keeps, as DataComp's
              resharder reads them
    .parquet  uid, path, text, rank and score of every pair

A uid is what the entries hold under --uid-key, 32 hexadecimal digits, or else
a hash of path and caption.
"""

import argparse
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_config_options,
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
    add('scores', help='score file')
    add('--config', required=True, help='config with the scored data')
    add_pair_options(parser)
    add('--out', required=True, help='.npy or .parquet to write')
    add('--max-rank', type=at_least(1), help='keep ranks up to this one')
    add('--keep-ratio', type=float, help='keep this share of the pairs')
    add('--min-score', type=float, help='keep scores from this one on')
    add('--uid-key', help='key of the uid in an entry')
    add(
        '--score-name',
        help="column of the score in a .parquet; DataComp's baselines read "
        'clip_l14_similarity_score; default: relevance_score',
    )
    add_overwrite(parser)
    add_config_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.registry import init_default_scope

from mmtpr.engine import launch
from mmtpr.filtering import exporting, keep_mask, load_scores, setup
from mmtpr.filtering.rules import check_rules
from mmtpr.filtering.scores import check_scored


def main() -> None:
    """Export."""
    args = parse_args()
    with launch.short_errors():
        ending = Path(args.out).suffix
        if ending not in ('.npy', '.parquet'):
            raise LaunchError(
                f'--out must end in .npy or .parquet, got "{args.out}".'
            )
        check_output(args.out, args.overwrite, [args.scores])
        rules = dict(
            max_rank=args.max_rank,
            keep_ratio=args.keep_ratio,
            min_score=args.min_score,
        )
        has_rule = any(value is not None for value in rules.values())
        if ending == '.npy':
            check_rules(**rules)
        elif has_rule:
            raise LaunchError(
                'A .parquet file holds the scores of all pairs, and its '
                'readers choose; a rule goes with .npy.'
            )
        if ending == '.npy' and args.score_name is not None:
            raise LaunchError('--score-name goes with .parquet.')
        scores = load_scores(args.scores)
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
        init_default_scope(cfg.get('default_scope') or 'mmtpr')
        pairs = setup.load_pairs(
            cfg, args.dataset, args.image_key, args.caption_key
        )
        check_scored(scores, pairs, args.scores)
        uids = exporting.pair_uids(pairs, args.uid_key)
        of = f'"{args.uid_key}"' if args.uid_key else 'path and caption'
        if ending == '.npy':
            keep = keep_mask(scores.rank, scores.score, **rules)
            exporting.write_uids(args.out, uids[keep])
            what = f'the uids of {int(keep.sum())} of {len(pairs)} pairs'
        else:
            name = args.score_name
            name = exporting.SCORE_NAME if name is None else name
            exporting.write_parquet(args.out, pairs, uids, scores, name)
            what = f'the scores of {len(pairs)} pairs'
        print(f'Wrote {what} to "{args.out}"; uids are those of {of}.')


if __name__ == '__main__':
    main()
