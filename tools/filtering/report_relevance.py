#!/usr/bin/env python
"""Report what relevance scores say about a training set.

Writes OUT/report.json, OUT/histogram.png and, with --config, OUT/pairs.png
with the best and the worst pairs, and prints a table of thresholds.
"""

import argparse
import json
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
    add('--config', help='config with the scored data, for the images')
    add_pair_options(parser)
    parser.set_defaults(dataset=None)  # without --config it is idle
    add(
        '--max-rank',
        type=at_least(1),
        nargs='+',
        default=[],
        help='thresholds to report; default: 1, 2, 5, 10, ...',
    )
    add('--truth', help='json with the kind of each pair, 0 = right')
    add(
        '--num-pairs',
        type=at_least(0),
        default=6,
        help='best and worst to show',
    )
    add('--out', default='relevance_report', help='folder to write to')
    add_overwrite(parser)
    add_config_options(parser)
    args = parser.parse_args()
    of_data = ('dataset', 'image_key', 'caption_key', 'cfg_options')
    idle = [name for name in of_data if getattr(args, name)]
    if idle and not args.config:
        parser.error(f'--{idle[0].replace("_", "-")} needs --config')
    args.dataset = args.dataset or 'train_dataloader.dataset'
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.registry import init_default_scope

from mmtpr.engine import launch
from mmtpr.filtering import load_scores, report, setup
from mmtpr.filtering.plots import plot_histograms, plot_pairs
from mmtpr.filtering.scores import RelevanceScores, check_scored
from mmtpr.structures.pairs import Pairs
from mmtpr.utils import atomic_write


def load_data(args: argparse.Namespace, scores: RelevanceScores) -> Pairs:
    """Load the pairs and check that the scores are theirs."""
    cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    pairs = setup.load_pairs(
        cfg, args.dataset, args.image_key, args.caption_key
    )
    check_scored(scores, pairs, args.scores)
    return pairs


def check_ranks(max_ranks: list[int], scores: RelevanceScores) -> None:
    """Stop at a threshold beyond all captions of the bank."""
    size = scores.meta['bank']['size']
    if beyond := [rank for rank in max_ranks if rank > size]:
        raise LaunchError(
            f'--max-rank {beyond[0]} is above {size}, the number of captions '
            'in the bank: it would keep every pair.'
        )


def print_report(content: dict) -> None:
    """Print the tables."""
    print('| max_rank | kept | dropped | share kept |')
    print('|---:|---:|---:|---:|')
    for row in content['thresholds']:
        print(
            f'| {row["max_rank"]} | {row["kept"]} | {row["dropped"]} | '
            f'{100 * row["kept_ratio"]:.1f} % |'
        )
    if 'auc' in content:
        print('\n| wrong pairs | number | AUC by rank | AUC by score |')
        print('|---|---:|---:|---:|')
        for name, row in content['auc'].items():
            print(
                f'| {name} | {row["pairs"]} | {row["rank"]:.3f} | '
                f'{row["score"]:.3f} |'
            )


def main() -> None:
    """Report."""
    args = parse_args()
    out = Path(args.out)
    with launch.short_errors():
        for name in ('report.json', 'histogram.png', 'pairs.png'):
            check_output(out / name, args.overwrite, [args.scores, args.truth])
        scores = load_scores(args.scores)
        check_ranks(args.max_rank, scores)
        kinds, names = None, []
        if args.truth:
            kinds, names = report.load_truth(args.truth, len(scores))
        pairs = load_data(args, scores) if args.config else None
        limits = args.max_rank or report.default_thresholds(
            scores.meta['bank']['size']
        )
        content = dict(
            meta=scores.meta,
            pairs=len(scores),
            unreadable=scores.unreadable,
            thresholds=report.threshold_counts(scores, limits, kinds),
        )
        if kinds is not None:
            try:
                content['auc'] = report.auc_by_kind(scores, kinds, names)
            except ValueError as error:
                raise LaunchError(
                    f'The truth file "{args.truth}": {error}'
                ) from error
        with atomic_write(out / 'report.json', 'w') as file:
            json.dump(content, file, indent=2)
        plot_histograms(
            out / 'histogram.png', scores, args.max_rank, kinds, names
        )
        if pairs is not None:
            plot_pairs(
                out / 'pairs.png',
                scores,
                pairs.paths,
                pairs.captions,
                args.num_pairs,
            )
        print_report(content)
        print(f'\nWrote the report to "{out}".')


if __name__ == '__main__':
    main()
