#!/usr/bin/env python
"""Filters of several scorers beside one: what each sees of wrong captions.

For each seed a dual encoder is pre-trained on the noisy toy set, and its
weights are kept at shares of the training; a scorer is trained on the clean
target set alone. Each scores the noisy set; the scores are joined. The table
says how well each tells wrong captions from right ones, by kind, on the pairs
that no logistic model was fitted on:

    python tools/synthesis/write_toy_data.py --out data/toy --size 64 32 ...
    python benchmarks/joined_filters.py --seeds 0 1 2

(``make demo`` writes these data as well.) With --reassign, captions that the
best join drops move to the images they fit best, and the table says how many
of them came to the person they were written of. With --train, encoders are
pre-trained anew on what today's filter and the joins keep, for equal steps,
tuned with WoRA and tested; with --scorer-seed as well, all seeds of these
runs share the scores of one. Finished runs are kept in the work dir, whose
settings must stay the same: the same command goes on where a killed one was.
"""

import argparse
import json
from pathlib import Path

import joined_filter_runs as runs
import numpy as np
from study_runs import begin, spread

from mmtpr.engine import launch
from mmtpr.filtering import join_scores, load_scores, save_scores
from mmtpr.filtering.labels import draw_labels, load_labels
from mmtpr.filtering.logistic import count_labels
from mmtpr.filtering.report import auc_by_kind, load_truth
from mmtpr.utils import atomic_write, read_json

#: What decides the numbers of a run that is kept.
FIXED = (
    *('pretrain_steps', 'scorer_steps', 'scorer_seed', 'bank_size'),
    *('num_labels', 'keep_ratio', 'steps'),
)
#: What is joined, and how.
JOINS = dict(
    mean=(('noisy', 'clean'), 'mean'),
    worst=(('noisy', 'clean'), 'worst'),
    logistic=(('noisy', 'clean'), 'logistic'),
    early_mean=((*runs.SHARES, 'noisy'), 'mean'),
    change=((*runs.SHARES, 'noisy'), 'change'),
)


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--seeds', type=int, nargs='+', default=[0, 1, 2])
    add('--pretrain-steps', type=int, default=936)
    add('--scorer-steps', type=int, default=1122, help='of the clean scorer')
    add(
        '--scorer-seed',
        type=int,
        help='score with the scorers of this seed; default: each its own',
    )
    add('--bank-size', type=int, default=3000)
    add(
        '--joins',
        nargs='*',
        choices=JOINS,
        default=['mean', 'worst', 'logistic'],
        help='early_mean and change score four checkpoints more',
    )
    add('--num-labels', type=int, default=1000, help='of the logistic model')
    add('--reassign', action='store_true', help='move dropped captions too')
    add(
        '--train',
        nargs='*',
        choices=['noisy', 'clean', *JOINS],
        help='compare R@1 after WoRA too; of these filters (default: all)',
    )
    add('--keep-ratio', type=float, default=0.79)
    add('--steps', type=int, default=450, help='of each tuning with WoRA')
    add('--work-dir', type=Path, default=Path('work_dirs/joined_filters'))
    args = parser.parse_args()
    known = ['noisy', 'clean', *args.joins]
    if unknown := set(args.train or ()) - set(known):
        parser.error(f'--train {" ".join(sorted(unknown))}: not in --joins')
    # Given without names it is all, not given none.
    args.train = known if args.train == [] else args.train or []
    return args


def all_scores(args: argparse.Namespace, seed: int) -> dict[str, Path]:
    """Score with every scorer that is needed, and join.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.

    Returns:
        dict[str, Path]: Score files by name.
    """
    weights = runs.scorers(args, seed)
    needed = {'noisy', 'clean'}
    needed |= {name for join in args.joins for name in JOINS[join][0]}
    files = {
        name: runs.score(args, seed, name, path)
        for name, path in weights.items()
        if name in needed
    }
    for join in args.joins:
        names, method = JOINS[join]
        parts = {name: load_scores(files[name]) for name in names}
        labels = fitted_on(args, seed) if method == 'logistic' else None
        joined = join_scores(parts, method, labels)
        out = args.work_dir / f'seed{seed}' / f'joined_{join}.npz'
        save_scores(out, joined)
        files[f'joined: {join}'] = out
    return files


def fitted_on(args: argparse.Namespace, seed: int) -> dict[int, bool]:
    """Draw the pairs that somebody would label.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the draw.

    Returns:
        dict[int, bool]: Whether a pair is wrong, by its index.
    """
    length = len(read_json(runs.TRUTH)['kinds'])
    return draw_labels(load_labels(runs.TRUTH, length), args.num_labels, seed)


def check_labels(args: argparse.Namespace) -> None:
    """Check that labels can be drawn and fitted on, before any training.

    Args:
        args (Namespace): Arguments of the command line.

    Raises:
        ValueError: If not.
    """
    seeds = args.seeds if args.scorer_seed is None else [args.scorer_seed]
    for seed in seeds:
        labels = fitted_on(args, seed)  # also what no AUC is measured on
        if 'logistic' in args.joins:
            count_labels(labels.values())


def auc_of(
    args: argparse.Namespace, seed: int, path: Path
) -> dict[str, float]:
    """Compute the AUC by kind on the pairs that are no labels.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the labels.
        path (Path): Score file.

    Returns:
        dict[str, float]: AUC by rank, by kind of wrong captions.
    """
    scores = load_scores(path)
    kinds, names = load_truth(runs.TRUTH, len(scores))
    rest = np.ones(len(scores), dtype=bool)
    rest[list(fitted_on(args, seed))] = False
    part = type(scores)(scores.rank[rest], scores.score[rest])
    table = auc_by_kind(part, kinds[rest], names)
    return {kind: row['rank'] for kind, row in table.items()}


def trainings(
    args: argparse.Namespace, seed: int, files: dict[str, Path]
) -> dict[str, dict[str, float]]:
    """Train on what each filter keeps, as far as that was asked for.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.
        files (dict[str, Path]): Score files by name.

    Returns:
        dict[str, dict]: R@1 and mAP by name.
    """
    rows = {}
    for name, path in files.items():
        if name.removeprefix('joined: ') in args.train:
            folder = name.replace('joined: ', 'joined_')
            row = runs.trained(args, seed, folder, path)
            rows[name] = {key: row[key] for key in ('R@1', 'mAP')}
    return rows


def notes_of(
    args: argparse.Namespace, seed: int, files: dict[str, Path]
) -> list[str]:
    """Say what scoring took and, if asked for, where captions moved.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the scorers.
        files (dict[str, Path]): Score files by name.

    Returns:
        list[str]: Lines for people.
    """
    lines = []
    if args.reassign:
        best = 'logistic' if 'logistic' in args.joins else 'clean'
        path = files.get(f'joined: {best}', files['clean'])
        lines.append(runs.moved_right(args, seed, best, path))
    root = args.work_dir / f'seed{seed}'
    times = ', '.join(
        f'{name} {(root / f"{name}.seconds").read_text()} s'
        for name in files
        if (root / f'{name}.seconds').exists()
    )
    return [*lines, f'Seed {seed}, time of scoring: {times}.']


def table_of(rows: dict[str, list[dict[str, float]]]) -> str:
    """Tabulate values of several seeds.

    Args:
        rows (dict[str, list[dict]]): For each name the values of each seed.

    Returns:
        str: Markdown.
    """
    columns = list(next(iter(rows.values()))[0])
    lines = [f'| | {" | ".join(columns)} |', '|---|' + '---:|' * len(columns)]
    for name, seeds in rows.items():
        values = [[row[column] for row in seeds] for column in columns]
        cells = [
            ', '.join(f'{x:.3f}' for x in v) if max(v) <= 1 else spread(v)
            for v in values
        ]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Compare the filters."""
    args = parse_args()
    args.work_dir = args.work_dir.resolve()
    with launch.short_errors():
        fixed = {key: getattr(args, key) for key in FIXED}
        fixed['data'] = runs.digest_of_data()
        check_labels(args)  # before a work dir is bound to them
        begin(args.work_dir, 'joined filters', fixed)
        compare(args)


def compare(args: argparse.Namespace) -> None:
    """Score, join, train, and write the table.

    Args:
        args (Namespace): Arguments of the command line.
    """
    aucs: dict[str, list] = {}
    tuned: dict[str, list] = {}
    notes = []
    shared = args.scorer_seed
    scored = args.seeds if shared is None else [shared]
    files = {seed: all_scores(args, seed) for seed in scored}
    for seed, own in files.items():
        for name, path in own.items():
            aucs.setdefault(name, []).append(auc_of(args, seed, path))
        notes += notes_of(args, seed, own)
    for seed in args.seeds:
        own = files[seed if shared is None else shared]
        for name, row in trainings(args, seed, own).items():
            tuned.setdefault(name, []).append(row)
    settings = {k: str(v) for k, v in vars(args).items() if k != 'work_dir'}
    parts = [
        f'Settings: {json.dumps(settings)}',
        'AUC by rank, a value a seed:',
        table_of(aucs),
        *notes,
        *([table_of(tuned)] if tuned else []),
    ]
    text = '\n\n'.join(parts) + '\n'
    with atomic_write(args.work_dir / 'table.md', 'w') as file:
        file.write(text)
    print(f'\n{text}')


if __name__ == '__main__':
    main()
