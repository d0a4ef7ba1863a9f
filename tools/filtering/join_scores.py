#!/usr/bin/env python
"""Join score files of one dataset into one score file.

What one scorer cannot see another one may: one tuned on clean data, the same
one at a fifth of its training, another model. A pair's position in the order
of each file is joined by its mean or its worst; or a small logistic model,
fitted on pairs that somebody labelled, weighs ranks and scores:

    python tools/filtering/join_scores.py noisy.npz tuned.npz --method mean \
        --out joined.npz

With --truth the AUC of each file and of the join is printed.
"""

import argparse
import os

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_debug,
    add_overwrite,
    at_least,
    check_output,
)

METHODS = ('mean', 'worst', 'change', 'logistic')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('scores', nargs='+', help='score files of one dataset')
    add(
        '--method',
        choices=METHODS,
        default='mean',
        help='mean position; worst position, for what is good in all files; '
        'change from file to file, in the order of training; logistic model. '
        'Default: mean',
    )
    add('--out', required=True, help='score file to write (.npz)')
    add(
        '--labels',
        help='for logistic: .csv or .json with "pair" and "wrong", or a truth '
        'file',
    )
    add(
        '--num-labels',
        type=at_least(10),
        help='fit on so many of the labels, drawn; the AUC is of the others',
    )
    add('--seed', type=at_least(0), default=0, help='seed of that draw')
    add('--truth', help='json with the kind of each pair, 0 = right')
    add_overwrite(parser)
    add_debug(parser)
    args = parser.parse_args()
    if (args.method == 'logistic') != bool(args.labels):
        parser.error('--method logistic and --labels need each other')
    if args.num_labels and not args.labels:
        parser.error('--num-labels needs --labels')
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

import numpy as np

from mmtpr.engine import launch
from mmtpr.filtering import join_scores, load_scores, save_scores
from mmtpr.filtering.labels import draw_labels, load_labels
from mmtpr.filtering.report import auc_rows, load_truth
from mmtpr.filtering.scores import RelevanceScores


def read_files(paths: list[str]) -> dict[str, RelevanceScores]:
    """Read the score files, each once."""
    seen = set()
    for path in paths:
        if os.path.realpath(path) in seen:
            raise LaunchError(f'"{path}" is given twice.')
        seen.add(os.path.realpath(path))
    return {path: load_scores(path) for path in paths}


def print_model(joined: RelevanceScores) -> None:
    """Print the weights of a logistic model."""
    model = joined.meta['scorer']['join'].get('model')
    if model is None:
        return
    labels = model['labels']
    print(
        f'Fitted on {labels["right"]} right and {labels["wrong"]} wrong '
        'pairs.\n\n| feature | weight |\n|---|---:|'
    )
    for row in model['features']:
        print(f'| {row["name"]} | {row["weight"]:+.3f} |')
    print()


def main() -> None:
    """Join."""
    args = parse_args()
    with launch.short_errors():
        if not args.out.endswith('.npz'):
            raise LaunchError(f'--out must end in .npz, got "{args.out}".')
        sources = [*args.scores, args.labels, args.truth]
        check_output(args.out, args.overwrite, sources)
        files = read_files(args.scores)
        length = len(files[args.scores[0]])
        labels = None
        if args.labels:
            labels = load_labels(args.labels, length)
            if args.num_labels:
                labels = draw_labels(labels, args.num_labels, args.seed)
        joined = join_scores(files, args.method, labels)
        rows: list[str] = []
        if args.truth:  # before anything is written
            kinds, names = load_truth(args.truth, length)
            rest = np.ones(length, dtype=bool)
            rest[list(labels or ())] = False
            if not rest.any():
                raise LaunchError(
                    'All pairs of --truth are labels of the fit, none is left '
                    'to tell how good it is; fit on some by --num-labels.'
                )
            table = {**files, f'joined, {args.method}': joined}
            rows = [*auc_rows(table, kinds, names, rest), '']
        save_scores(args.out, joined)
        print_model(joined)
        print('\n'.join(rows))
        print(
            f'Wrote the scores of {length} pairs, joined from {len(files)} '
            f'files, to "{args.out}"; its ranks count pairs. '
            f'{joined.unreadable} pairs have an unreadable image.'
        )


if __name__ == '__main__':
    main()
