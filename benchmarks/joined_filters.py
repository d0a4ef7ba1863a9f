#!/usr/bin/env python
"""Filters of several scorers beside one: what each sees of wrong captions.

For each seed a dual encoder is pre-trained on the noisy toy set, and its
weights are kept at shares of the training; a copy is tuned on the clean target
set. Each scores the noisy set; the scores are joined. The table says how well
each tells wrong captions from right ones, by kind, on the pairs that no
logistic model was fitted on:

    python tools/synthesis/write_toy_data.py --out data/toy --size 64 32 ...
    python benchmarks/joined_filters.py --seeds 0 1 2

(``make demo`` writes these data as well.) With --reassign, captions that the
best join drops move to the images they fit best, and the table says how many
of them came to the person they were written of. With --train, encoders are
pre-trained anew on what today's filter and the joins keep, for equal steps,
tuned with WoRA and tested. Finished runs are kept in the work dir, whose
settings must stay the same: the same command goes on where a killed one was.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from mmengine.config import Config
from study_runs import (
    TOY,
    begin,
    by_steps,
    encoder_of,
    last_weights,
    run,
    score_relevance,
    spread,
    test_best,
    train,
)

from mmtpr.engine import launch
from mmtpr.filtering import join_scores, load_scores, save_scores
from mmtpr.filtering.labels import draw_labels, load_labels
from mmtpr.filtering.reassigning import load_reassignment
from mmtpr.filtering.report import auc_by_kind, load_truth
from mmtpr.synthesis.layouts import PAIR_KINDS, caption_owners, pair_kinds
from mmtpr.utils import atomic_write, read_json

DATA = Path('data/toy')
TRUTH = DATA / 'pretrain' / 'truth.json'
SHARES = (20, 40, 60, 80)
#: What is joined, and how.
JOINS = dict(
    mean=(('noisy', 'tuned'), 'mean'),
    worst=(('noisy', 'tuned'), 'worst'),
    logistic=(('noisy', 'tuned'), 'logistic'),
    early_mean=((*(f'share_{s:03d}' for s in SHARES), 'noisy'), 'mean'),
    change=((*(f'share_{s:03d}' for s in SHARES), 'noisy'), 'change'),
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
    add('--tuning-steps', type=int, default=748, help='of the tuned scorer')
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
    add('--train', action='store_true', help='compare R@1 after WoRA too')
    add('--keep-ratio', type=float, default=0.79)
    add('--steps', type=int, default=450, help='of each tuning with WoRA')
    add('--work-dir', type=Path, default=Path('work_dirs/joined_filters'))
    return parser.parse_args()


def scorers(args: argparse.Namespace, seed: int) -> dict[str, str]:
    """Train the scorers of a seed.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.

    Returns:
        dict[str, str]: Weights by name: the noisy scorer at shares of its
        training and at the end, and the one tuned on the clean set.
    """
    root = args.work_dir / f'seed{seed}'
    cfg = Config.fromfile(TOY / 'pretrain_toy.py')
    cfg.custom_hooks = [
        *cfg.get('custom_hooks', []),
        dict(
            type='mmtpr.ShareCheckpointHook',
            shares=[share / 100 for share in SHARES],
        ),
    ]
    train(by_steps(cfg, args.pretrain_steps, seed, 1), root / 'noisy')
    noisy = last_weights(root / 'noisy')
    cfg = Config.fromfile(TOY / 'scorer_toy.py')
    encoder_of(cfg).pretrained = noisy
    train(by_steps(cfg, args.tuning_steps, seed, 1), root / 'tuned')
    early = {
        f'share_{share:03d}': str(root / 'noisy' / f'share_{share:03d}.pth')
        for share in SHARES
    }
    return {**early, 'noisy': noisy, 'tuned': last_weights(root / 'tuned')}


def score(
    args: argparse.Namespace, seed: int, name: str, weights: str
) -> Path:
    """Score the noisy set unless it is done, and note the time it took.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the scorer.
        name (str): Name of the scorer.
        weights (str): Its checkpoint.

    Returns:
        Path: The score file.
    """
    root = args.work_dir / f'seed{seed}'
    out = root / f'{name}.npz'
    if not out.exists():
        start = time.perf_counter()
        config, bank = TOY / 'pretrain_toy.py', 'configs/wora_toy.py'
        log = root / f'score_{name}.log'
        score_relevance(config, weights, bank, args.bank_size, out, log)
        seconds = time.perf_counter() - start
        (root / f'{name}.seconds').write_text(f'{seconds:.1f}')
    return out


def all_scores(args: argparse.Namespace, seed: int) -> dict[str, Path]:
    """Score with every scorer that is needed, and join.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.

    Returns:
        dict[str, Path]: Score files by name.
    """
    weights = scorers(args, seed)
    needed = {'noisy', 'tuned'}
    needed |= {name for join in args.joins for name in JOINS[join][0]}
    files = {
        name: score(args, seed, name, path)
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
    length = len(read_json(TRUTH)['kinds'])
    return draw_labels(load_labels(TRUTH, length), args.num_labels, seed)


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
    kinds, names = load_truth(TRUTH, len(scores))
    rest = np.ones(len(scores), dtype=bool)
    rest[list(fitted_on(args, seed))] = False
    part = type(scores)(scores.rank[rest], scores.score[rest])
    table = auc_by_kind(part, kinds[rest], names)
    return {kind: row['rank'] for kind, row in table.items()}


def moved_right(args: argparse.Namespace, seed: int, scores: Path) -> str:
    """Move what a filter drops, and count what came to its own person.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the scorer.
        scores (Path): Scores that decide which pairs stay.

    Returns:
        str: A line for people.
    """
    root = args.work_dir / f'seed{seed}'
    out = root / 'reassigned.npz'
    if not out.exists():
        run(
            *('tools/filtering/reassign_captions.py', TOY / 'pretrain_toy.py'),
            *(last_weights(root / 'tuned'), '--scores', scores, '--out', out),
            *('--keep-ratio', args.keep_ratio, '--num-workers', 0),
            *('--batch-size', 256),
            log=root / 'reassign.log',
        )
    made = load_reassignment(out)
    settings = read_json(DATA / 'settings.json')
    rng = np.random.default_rng([settings['seed'], 2])
    people = settings['pretrain']
    kinds = pair_kinds(len(made), settings['wrong'], rng)
    owners = np.array(caption_owners(kinds, people, rng))
    own = np.arange(len(made))
    moved = np.flatnonzero((made.image >= 0) & (made.image != own))
    # Pair i shows person i modulo their number.
    right = made.image[moved] % people == owners[moved]
    of = np.array(kinds)[moved] == PAIR_KINDS.index('another')
    counts = made.counts
    return (
        f'Seed {seed}: {counts["kept"]} pairs stay, {counts["moved"]} '
        f'captions move, {counts["dropped"]} are dropped. Of those moved '
        f'{right.sum()} ({100 * right.mean():.1f} %) came to the person they '
        f'are about; {of.sum()} had been with another, of these '
        f'{100 * right[of].mean():.1f} % came right.'
    )


def trained(
    args: argparse.Namespace, seed: int, name: str, scores: Path
) -> dict[str, float]:
    """Pre-train on what a filter keeps, tune with WoRA, test.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.
        name (str): Name of the filter, for the folder.
        scores (Path): Its scores.

    Returns:
        dict[str, float]: R@1 and mAP.
    """
    root = args.work_dir / f'seed{seed}'
    cfg = Config.fromfile(TOY / 'pretrain_toy_filtered.py')
    cfg.train_dataloader.dataset.scores = str(scores)
    cfg.train_dataloader.dataset.keep_ratio = args.keep_ratio
    cfg.optim_wrapper = Config.fromfile(TOY / 'pretrain_toy.py').optim_wrapper
    encoder_of(cfg).pretrained = None
    folder = root / f'pretrain_{name}'
    train(by_steps(cfg, args.pretrain_steps, seed, 1), folder)
    cfg = Config.fromfile(TOY / 'wora_toy.py')
    encoder_of(cfg).pretrained = last_weights(folder)
    folder = root / f'{name}_wora'
    test_best(train(by_steps(cfg, args.steps, seed, 5), folder), folder)
    values = read_json(folder / 'test.json')
    return {key.split('/')[-1]: value for key, value in values.items()}


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
        keys = ('pretrain_steps', 'tuning_steps', 'bank_size', 'steps')
        fixed = {key: getattr(args, key) for key in (*keys, 'keep_ratio')}
        begin(args.work_dir, 'joined filters', fixed)
    aucs: dict[str, list] = {}
    tuned: dict[str, list] = {}
    notes = []
    for seed in args.seeds:
        files = all_scores(args, seed)
        for name, path in files.items():
            aucs.setdefault(name, []).append(auc_of(args, seed, path))
        best = files.get('joined: logistic') or files['tuned']
        if args.reassign:
            notes.append(moved_right(args, seed, best))
        if args.train:
            joins = [name for name in files if name.startswith('joined')]
            for name in ('noisy', 'tuned', *joins):
                folder = name.replace('joined: ', 'joined_')
                row = trained(args, seed, folder, files[name])
                tuned.setdefault(name, []).append(
                    {key: row[key] for key in ('R@1', 'mAP')}
                )
        root = args.work_dir / f'seed{seed}'
        times = ', '.join(
            f'{name} {(root / f"{name}.seconds").read_text()} s'
            for name in files
            if (root / f'{name}.seconds').exists()
        )
        notes.append(f'Seed {seed}, time of scoring: {times}.')
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
