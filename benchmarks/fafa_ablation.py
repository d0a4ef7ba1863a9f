#!/usr/bin/env python
"""Take the light FAFA apart on toy triplets.

Trains configs/toy/fafa_toy.py for a number of steps with one thing changed at
a time: its losses, how many tokens of a target count (k), the label of
another triplet of the same id, and the ranking loss of composition (CPL).
Each is trained with every seed; the checkpoint is chosen on the validation
split and tested once.

    make demo demo-composed   # the encoder and the triplets
    python benchmarks/fafa_ablation.py --seeds 0 1 2

Finished runs are kept in the work dir, whose settings must stay the same: the
same command goes on where a killed one was. The table goes to
WORK_DIR/table.md.
"""

import argparse
import json
import os
from pathlib import Path

from mmengine.config import Config
from study_runs import (
    ROOT,
    TOY,
    begin,
    by_steps,
    digest,
    spread,
    test_best,
    train,
)

from mmtpr.engine import launch
from mmtpr.utils import atomic_write, read_json
from mmtpr.utils.errors import LaunchError

#: Name -> what the row is called, and what it changes in the head.
VARIANTS = {
    'all': ('FDA + FD + MFR, k = 6, same id 1', {}),
    'fda': ('FDA alone', dict(fd_weight=0.0, mfr_weight=0.0)),
    'fda_fd': ('FDA + FD', dict(mfr_weight=0.0)),
    'k1': ('k = 1', dict(topk_tokens=1)),
    'k2': ('k = 2', dict(topk_tokens=2)),
    'k4': ('k = 4', dict(topk_tokens=4)),
    'k8': ('k = 8', dict(topk_tokens=8)),
    'same05': ('same id 0.5', dict(same_id_weight=0.5)),
    'cpl': ('FDA + FD + MFR + CPL', dict(cpl_weight=1.0)),
    'cpl3': ('CPL of 3 partners', dict(cpl_weight=1.0, cpl_partners=3)),
}
BASELINES = {
    'image': "image only, that run's encoder",
    'text': "text only, that run's encoder",
    'sum': "their sum, that run's encoder",
}
METRICS = ('R@1', 'R@5', 'mAP')


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
    add('--steps', type=int, default=400, help='of each run')
    add('--variants', nargs='+', choices=VARIANTS, default=list(VARIANTS))
    add('--work-dir', type=Path, default=Path('work_dirs/fafa_ablation'))
    return parser.parse_args()


def vary(cfg: Config, changes: dict) -> Config:
    """Change the head, and the tokens that count in evaluation with it.

    Args:
        cfg (Config): Changed in place.
        changes (dict): Arguments of the head.

    Returns:
        Config: The config.
    """
    cfg.model.head.update(changes)
    topk = cfg.model.head.topk_tokens
    cfg.val_evaluator.topk_tokens = cfg.test_evaluator.topk_tokens = topk
    return cfg


def measure(args: argparse.Namespace, seed: int, name: str) -> None:
    """Train and test once, unless it is done.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the run.
        name (str): Key of ``VARIANTS``.
    """
    folder = args.work_dir / f'seed{seed}' / name
    if (folder / 'test.json').exists():
        return
    cfg = vary(Config.fromfile(TOY / 'fafa_toy.py'), VARIANTS[name][1])
    config = train(by_steps(cfg, args.steps, seed, 4), folder)
    test_best(config, folder)


def line(title: str, results: list[dict[str, float]], row: str = '') -> str:
    """Write a row of the table.

    Args:
        title (str): What the row is called.
        results (list[dict[str, float]]): Of each seed.
        row (str): Row of the metric. Defaults to '', the composed query.

    Returns:
        str: Markdown.
    """
    cells = [spread([r[row + key] for r in results]) for key in METRICS]
    return f'| {title} | {" | ".join(cells)} | {len(results)} |'


def table(args: argparse.Namespace) -> str:
    """Tabulate the runs that are done.

    Args:
        args (Namespace): Arguments of the command line.

    Returns:
        str: Markdown.
    """
    lines = [
        f'| | {" | ".join(METRICS)} | seeds |',
        '|---|---:|---:|---:|---:|',
    ]
    for name in args.variants:
        paths = (
            args.work_dir / f'seed{seed}' / name / 'test.json'
            for seed in args.seeds
        )
        done = [read_json(path) for path in paths if path.exists()]
        if not done:
            continue
        lines.append(line(VARIANTS[name][0], done))
        if name == 'all':
            lines += [line(BASELINES[k], done, f'{k}/') for k in BASELINES]
    return '\n'.join(lines)


def main() -> None:
    """Run the study."""
    args = parse_args()
    args.work_dir = (ROOT / args.work_dir).resolve()
    os.chdir(ROOT)
    with launch.short_errors():
        weights = Path(Config.fromfile(TOY / 'fafa_toy.py').filtered_weights)
        if not weights.is_file():
            raise LaunchError(
                f'"{weights}" is missing: run "make demo demo-composed" first.'
            )
        settings = dict(steps=args.steps, encoder=digest(weights))
        begin(args.work_dir, 'fafa ablation', settings)
        for seed in args.seeds:
            for name in args.variants:
                measure(args, seed, name)
    settings = {k: str(v) for k, v in vars(args).items() if k != 'work_dir'}
    text = f'Settings: {json.dumps(settings)}\n\n{table(args)}\n'
    with atomic_write(args.work_dir / 'table.md', 'w') as file:
        file.write(text)
    print(f'\n{text}')


if __name__ == '__main__':
    main()
