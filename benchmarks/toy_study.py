#!/usr/bin/env python
"""Compare ways of choosing pairs of a noisy set, and ways of tuning.

The toy pre-training set is drawn with 30 % and with 60 % wrong captions. For
each share and each seed a small dual encoder is pre-trained, for equally many
steps, on

    none           all pairs
    relevance      those that the encoder of `none` scores best
    joined         those that are best by the mean position in two score files:
                   that one, and one by `none` after its tuning in full
    ccd            those that consensus division of the losses lets train
    relevance_ccd  consensus division of what `relevance` keeps

and then tuned on the clean target set, for equally many steps, in full and
with WoRA. The checkpoint is chosen on the validation split and tested once.

    python benchmarks/toy_study.py
    python benchmarks/toy_study.py --rates 60 --seeds 1 --cells ccd --jobs 1

Finished parts are kept in the work dir, whose settings must stay the same: the
same command goes on where a killed one was, and other cells, rates, seeds and
methods are added to it. The table goes to WORK_DIR/table.md. By default 30
pre-trainings and 60 tunings, two at a time with a thread each: about 80
minutes on two cores.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import product
from pathlib import Path

from mmengine.config import Config
from study_runs import (
    ROOT,
    TOY,
    begin,
    by_steps,
    encoder_of,
    last_weights,
    run,
    test_best,
    train,
)
from toy_study_pairs import CELLS, NEEDS, Place, pretrain, require_joins
from toy_study_tables import TUNINGS, table

from mmtpr.engine import launch
from mmtpr.utils import atomic_write
from mmtpr.utils.run_lock import lock_output

sys.path.append(str(ROOT / 'tools'))
demo = import_module('demo')


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
    add('--rates', type=int, nargs='+', default=[30, 60],
        help='wrong captions of the pre-training set, in percent')  # fmt: skip
    add('--cells', nargs='+', choices=CELLS, default=list(CELLS))
    add('--methods', nargs='+', choices=TUNINGS, default=['full', 'wora'])
    add('--pretrain-steps', type=int, default=600)
    add('--steps', type=int, default=120, help='of each tuning')
    add('--bank-size', type=int, default=3000)
    add('--jobs', type=int, default=min(2, os.cpu_count() or 1),
        help='seeds and rates at a time; they share the cores')  # fmt: skip
    add('--work-dir', type=Path, default=Path('work_dirs/toy_study'))
    return parser.parse_args()


def write_data(args: argparse.Namespace, rate: int) -> None:
    """Draw the people of a share of wrong captions, unless it is done.

    Args:
        args (Namespace): Arguments of the command line.
        rate (int): Wrong captions in percent.
    """
    folder = args.work_dir / f'wrong{rate}' / 'data'
    size = demo.TOY_SIZE.split()
    with lock_output(folder.with_name('.lock'), f'The folder "{folder}"'):
        run(
            *('tools/synthesis/write_toy_data.py', '--out', folder, *size),
            *('--wrong', rate / 100, '--seed', 0),
            log=folder.with_name('data.log'),
        )


def tune(args: argparse.Namespace, place: Place, cell: str, way: str) -> None:
    """Tune and test once.

    Args:
        args (Namespace): Arguments of the command line.
        place (Place): Where, and on which data.
        cell (str): Whose pre-training.
        way (str): Key of ``TUNINGS``.
    """
    folder = place.folder / f'{cell}_{way}'
    if not (folder / 'test.json').exists():
        cfg = place.on_data(Config.fromfile(TOY / f'{way}_toy.py'))
        weights = last_weights(place.folder / f'pretrain_{cell}')
        encoder_of(cfg).pretrained = weights
        config = train(by_steps(cfg, args.steps, place.seed, 5), folder)
        test_best(config, folder)


def run_seed(args: argparse.Namespace, rate: int, seed: int) -> None:
    """Run all cells of a rate and a seed.

    Args:
        args (Namespace): Arguments of the command line.
        rate (int): Wrong captions in percent.
        seed (int): Seed of the runs.
    """
    root = args.work_dir / f'wrong{rate}'
    place = Place(root / f'seed{seed}', root / 'data', rate, seed)
    with lock_output(place.folder / '.lock', f'The folder "{place.folder}"'):
        for cell in CELLS:  # in this order: one needs what another left
            wanted = cell in args.cells
            if wanted or any(cell in NEEDS[c] for c in args.cells):
                pretrain(args, place, cell)
            ways = list(args.methods) if wanted else []
            if cell == 'none' and 'joined' in args.cells:
                ways = [*dict.fromkeys(['full', *ways])]  # it scores
            for way in ways:
                tune(args, place, cell, way)


def run_together(
    args: argparse.Namespace, parts: list[tuple[int, int]]
) -> None:
    """Run several rates and seeds at a time; stop at the first that fails.

    Args:
        args (Namespace): Arguments of the command line.
        parts (list[tuple[int, int]]): Rates and seeds.
    """
    with ThreadPoolExecutor(args.jobs) as pool:
        started = [pool.submit(run_seed, args, *part) for part in parts]
        try:
            for one in started:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main() -> None:
    """Run the study."""
    args = parse_args()
    args.work_dir = (ROOT / args.work_dir).resolve()
    os.chdir(ROOT)
    with launch.short_errors():
        require_joins(args)
        names = ('pretrain_steps', 'steps', 'bank_size')
        settings = {name: vars(args)[name] for name in names}
        settings['size'] = demo.TOY_SIZE
        begin(args.work_dir, 'toy study', settings)
        for rate in args.rates:
            write_data(args, rate)
        threads = max(1, (os.cpu_count() or 1) // args.jobs)
        os.environ.setdefault('OMP_NUM_THREADS', str(threads))
        parts = list(product(args.rates, args.seeds))
        if args.jobs == 1:
            for part in parts:
                run_seed(args, *part)
        else:
            run_together(args, parts)
    text = f'Settings: {json.dumps(settings)}\n\n{table(args)}\n'
    with atomic_write(args.work_dir / 'table.md', 'w') as file:
        file.write(text)
    print(f'\n{text}')


if __name__ == '__main__':
    main()
