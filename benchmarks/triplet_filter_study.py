#!/usr/bin/env python
"""Compare triplets that judges let through with more, fewer and clean ones.

For each seed the data engine makes the pairs of tools/demo_synthesis.py anew,
four of ten faulty on purpose, and its judges and its rule filter them. The
light FAFA is trained, for equally many steps, on

    all         all pairs
    passed      what the rule lets through
    clean       all clean pairs, by the truth that no judge is told
    half_clean  half of the clean ones, drawn by the seed
    half_mixed  all faulty ones and that half of the clean ones

and tested once on the composed toy test set. One of the judges is a FAFA that
was trained on all pairs too, for fewer steps: one that trains on has learned
the faulty pairs by heart and calls them right. Pairs, scores and that judge
are shared by all rows of a seed. Measures and rule were chosen on seed 0 and
are the same for every seed.

    make demo   # the encoder, also a judge
    python benchmarks/triplet_filter_study.py --seeds 0 1 2

What is finished stays in the work dir: the same command goes on where a
killed one was, and other seeds may run beside it. The tables go to
WORK_DIR/table.md.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from study_runs import ROOT, by_steps, digest, last_weights, run, train
from triplet_filter_tables import CELLS, fault_table, quality_table

from mmtpr.data_engine import StageFolder
from mmtpr.data_engine.assemble.triplet_files import (
    TRAIN,
    read_triplets,
    triplet_file,
)
from mmtpr.engine import launch
from mmtpr.utils import atomic_write, read_json
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.run_lock import lock_output

sys.path.append(str(ROOT / 'tools'))
demo = import_module('demo')
demo_steps = import_module('demo_steps')
synthesis = import_module('demo_synthesis')

_HALF = 71  # stream of randomness


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
    add('--steps', type=int, default=1800, help='of each training')
    add('--judge-steps', type=int, default=synthesis.STEPS,
        help='of the FAFA that judges')  # fmt: skip
    add('--records', type=int, default=600)
    add('--pairs', type=int, default=4, help='of a record')
    add('--cells', nargs='+', choices=CELLS, default=list(CELLS))
    add('--work-dir', type=Path, default='work_dirs/triplet_filter_study')
    return parser.parse_args()


def begin(args: argparse.Namespace) -> None:
    """Begin the study, or go on with one of the same settings.

    Args:
        args (Namespace): Arguments of the command line.

    Raises:
        LaunchError: If the encoder is missing, or the work dir was begun with
            other settings or another encoder, naming what differs.
    """
    for name in ('noisy_weights', 'filtered_weights'):  # the last is used
        weights = ROOT / demo.weights(name)
        if not weights.is_file():
            raise LaunchError(
                f'"{weights}" is missing: run "make demo" first, which trains '
                'the encoder.'
            )
    rule = Config.fromfile(ROOT / synthesis.ENGINE).assemble.rule
    settings = dict(
        steps=args.steps,
        judge_steps=args.judge_steps,
        records=args.records,
        pairs=args.pairs,
        rule=[dict(term) for term in rule],
        encoder=digest(weights),
    )
    StageFolder(args.work_dir).open('triplet filter study', settings, [], 1)


def make_pairs(args: argparse.Namespace, seed: int) -> Path:
    """Write, render and judge by what needs no training on the pairs.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Of the pairs.

    Returns:
        Path: Folder of the run.
    """
    place = args.work_dir / f'seed{seed}/run'
    if not (place / 'everything/report.json').exists():
        options = engine_options(args, seed)
        steps = synthesis.pair_steps(shlex.quote(str(place)), options)
        run_steps([synthesis.composed_data_step(0), *steps], place.parent)
    return place


def filter_pairs(args: argparse.Namespace, seed: int, place: Path) -> None:
    """Let a FAFA of all pairs judge as well, and apply the rule.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Of the pairs.
        place (Path): Folder of the run.
    """
    if (place / 'assembled/report.json').exists():
        return
    folder = place.parent / 'judge'
    triplets = triplets_of_cell(place, 'all', seed)
    train_on(place, triplets, args.judge_steps, seed, folder)
    options = engine_options(args, seed)
    weights = shlex.quote(last_weights(folder))
    options += f' judges.composed.checkpoint={weights}'
    steps = synthesis.filter_steps(shlex.quote(str(place)), options)
    run_steps(steps, place.parent)


def train_on(
    place: Path, triplets: Path, steps: int, seed: int, folder: Path
) -> Path:
    """Train the light FAFA on a file of triplets, unless it is done.

    Args:
        place (Path): Folder of the run that made them.
        triplets (Path): The file.
        steps (int): Optimizer steps.
        seed (int): Of the training.
        folder (Path): Work dir.

    Returns:
        Path: The config as a file in the work dir.
    """
    cfg = Config.fromfile(ROOT / synthesis.PASSED)
    dataset = cfg.train_dataloader.dataset
    dataset.ann_file = str(triplets)
    dataset.data_prefix.img_path = str(place / 'render/images')
    return train(by_steps(cfg, steps, seed, 1), folder)


def engine_options(args: argparse.Namespace, seed: int) -> str:
    """Write what differs from the config of the demo.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Of the pairs.

    Returns:
        str: Of ``--cfg-options``.
    """
    return (
        f'write.num={args.records} write.seed={seed} '
        f'render.per_record={args.pairs} render.seed={seed}'
    )


def run_steps(steps: list, out: Path) -> None:
    """Run steps as the demo does.

    Args:
        steps (list[Step]): The commands.
        out (Path): Folder for their logs.
    """
    runner = demo_steps.Demo(out=out)
    for step in steps:
        runner.run(step)


def cell_keys(place: Path, name: str, seed: int) -> set[str]:
    """Choose pairs by the truth.

    Args:
        place (Path): Folder of the run.
        name (str): A row that is chosen so.
        seed (int): Of the draw.

    Returns:
        set[str]: Their keys.
    """
    clean, faulty = [], []
    for row in StageFolder(place / 'render').read_all():
        is_faulty = (row.get('truth') or {}).get('fault')
        (faulty if is_faulty else clean).append(row['key'])
    if name == 'clean':
        return set(clean)
    order = np.random.default_rng([_HALF, seed]).permutation(len(clean))
    half = {clean[i] for i in order[: len(clean) // 2]}
    return half if name == 'half_clean' else half | set(faulty)


def triplets_of_cell(place: Path, name: str, seed: int) -> Path:
    """Find or write the triplets that a row trains on.

    Args:
        place (Path): Folder of the run.
        name (str): Key of ``CELLS``.
        seed (int): Of what is drawn.

    Returns:
        Path: The file.
    """
    everything = place / 'everything' / TRAIN
    if name == 'all':
        return everything
    if name == 'passed':
        return place / 'assembled' / TRAIN
    keys = cell_keys(place, name, seed)
    path = place / name / TRAIN
    with open(everything, 'rb') as file, triplet_file(path) as chosen:
        for triplet in read_triplets(file):
            if triplet['pair'] in keys:
                chosen.add(triplet)
    return path


def count_pairs(place: Path, path: Path) -> dict[str, int]:
    """Count pairs of a file of triplets, and the faulty ones among them.

    Args:
        place (Path): Folder of the run.
        path (Path): The file.

    Returns:
        dict[str, int]: ``pairs`` and ``faulty``.
    """
    with open(path, 'rb') as file:
        keys = {triplet['pair'] for triplet in read_triplets(file)}
    faulty = sum(
        bool((row.get('truth') or {}).get('fault'))
        for row in StageFolder(place / 'render').read_all()
        if row['key'] in keys
    )
    return dict(pairs=len(keys), faulty=faulty)


def measure(args: argparse.Namespace, seed: int, name: str) -> None:
    """Train and test once, unless it is done.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Of pairs and training.
        name (str): Key of ``CELLS``.
    """
    place = args.work_dir / f'seed{seed}/run'
    folder = place.parent / name
    if (folder / 'result.json').exists():
        return
    triplets = triplets_of_cell(place, name, seed)
    config = train_on(place, triplets, args.steps, seed, folder)
    run(
        *('tools/test.py', config, last_weights(folder)),
        *('--work-dir', folder / 'test', '--overwrite'),
        *('--out', folder / 'test.json'),
        log=folder / 'test.log',
    )
    result = read_json(folder / 'test.json') | count_pairs(place, triplets)
    with atomic_write(folder / 'result.json', 'w') as file:
        json.dump(result, file, indent=2)


def circumstances(args: argparse.Namespace) -> str:
    """Say what was run where.

    Args:
        args (Namespace): Arguments of the command line.

    Returns:
        str: Some sentences.
    """
    done = subprocess.run(
        ['git', 'describe', '--always', '--dirty', '--exclude', '*'],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    seeds = ' '.join(map(str, args.seeds))
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f'{os.cpu_count()} CPUs, no GPU'
    )
    return (
        f'`python benchmarks/triplet_filter_study.py --seeds {seeds} --steps '
        f'{args.steps} --judge-steps {args.judge_steps} --records '
        f'{args.records} --pairs {args.pairs}`, commit '
        f'{done.stdout.strip() or "unknown"}, {device}, torch '
        f'{torch.__version__}. Each seed draws its own pairs, '
        f'{args.records} x {args.pairs}, and seeds its trainings of '
        f'{args.steps} steps each; encoder and test set are the same. Mean '
        'and standard deviation over the seeds. Measures and rule were chosen '
        'on seed 0 and are the same for every seed.'
    )


def main() -> None:
    """Run the study."""
    args = parse_args()
    args.work_dir = (ROOT / args.work_dir).resolve()
    os.chdir(ROOT)
    with launch.short_errors():
        begin(args)
        for seed in args.seeds:
            folder = args.work_dir / f'seed{seed}'
            with lock_output(folder / '.lock', f'The folder "{folder}"'):
                place = make_pairs(args, seed)
                filter_pairs(args, seed, place)
                for name in args.cells:
                    measure(args, seed, name)
    where = args.work_dir, args.seeds
    parts = [[circumstances(args)], quality_table(*where), fault_table(*where)]
    text = '\n\n'.join('\n'.join(part) for part in parts)
    with atomic_write(args.work_dir / 'table.md', 'w') as file:
        file.write(f'{text}\n')
    print(f'\n{text}')


if __name__ == '__main__':
    main()
