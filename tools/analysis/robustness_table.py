#!/usr/bin/env python
"""Test a checkpoint with corrupted queries, and tabulate what remains.

    robustness_table.py CONFIG CHECKPOINT OUT_DIR

Runs the test of the config with queries as they are, then with noise, blur,
jpeg and typos at three severities each; models whose queries are sentences
alone meet typos alone. Each test that is done stays in OUT_DIR: the same
command goes on where a killed one was. The table is OUT_DIR/table.md, all
numbers OUT_DIR/table.json.
"""

import argparse
import json
from pathlib import Path

from mmtpr.utils.options import add_allow_partial, add_config_options

ROOT = Path(__file__).resolve().parents[2]
KINDS = ('noise', 'blur', 'jpeg', 'typos')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('config', help='path of the config')
    add('checkpoint', help='path of the checkpoint')
    add('out_dir', type=Path, help='folder of the results')
    add('--kinds', nargs='+', choices=KINDS, help='default: all that apply')
    add('--severities', nargs='+', type=int, choices=(1, 2, 3))
    add('--seed', type=int, default=0, help='of what is drawn; default 0')
    add(
        '--metrics',
        nargs='+',
        default=['R@1', 'mAP'],
        help='numbers in the table; default R@1 mAP',
    )
    add_allow_partial(parser)
    add_config_options(parser)
    args = parser.parse_args()
    args.severities = args.severities or [1, 2, 3]
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.config import Config

from mmtpr.data_engine import StageFolder
from mmtpr.engine import launch
from mmtpr.engine.robustness import (
    CLEAN,
    choose_kinds,
    corrupted_config,
    keep_apart,
    robustness_table,
)
from mmtpr.gallery.manifest import file_checksum
from mmtpr.utils import atomic_write, read_json
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.precision import allow_tf32


def test_once(cfg: Config, args: argparse.Namespace, name: str) -> dict:
    """Test, unless it is done.

    Args:
        cfg (Config): The config, corrupted or not.
        args (Namespace): The command line.
        name (str): Name of the test.

    Returns:
        dict: The numbers.
    """
    path = args.out_dir / f'{name}.json'
    if not path.exists():
        cfg.work_dir = str(args.out_dir / 'logs' / name)
        cfg.experiment_name = f'robustness_{args.out_dir.name}_{name}'
        keep_apart(cfg, args.out_dir, name)
        launch.use_checkpoint(cfg, args.checkpoint, args.allow_partial)
        launch.tidy(cfg)
        metrics = launch.build_runner(cfg).test()
        with atomic_write(path, 'w') as file:
            json.dump({k: float(v) for k, v in metrics.items()}, file)
    return read_json(path, 'result of a test')


def run(args: argparse.Namespace) -> None:
    """Run all tests and write the table.

    Args:
        args (Namespace): The command line.
    """
    cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    if not cfg.get('test_dataloader'):
        raise LaunchError(f'"{args.config}" has no test_dataloader.')
    launch.require_checkpoint(args.checkpoint)
    kinds = choose_kinds(cfg, args.kinds)
    args.out_dir = args.out_dir.resolve()
    settings = dict(
        config=cfg.pretty_text,
        checkpoint=file_checksum(Path(args.checkpoint)),
        seed=args.seed,
    )
    StageFolder(args.out_dir).open('robustness table', settings, [], 1)
    allow_tf32(False)
    results = {CLEAN: test_once(Config(cfg.to_dict()), args, CLEAN)}
    # A wrong --metrics is told now, not after all tests.
    robustness_table(results, [], [], args.metrics)
    for kind in kinds:
        for severity in args.severities:
            other = corrupted_config(cfg, kind, severity, args.seed)
            name = f'{kind}_{severity}'
            results[name] = test_once(other, args, name)
    table = robustness_table(results, kinds, args.severities, args.metrics)
    with atomic_write(args.out_dir / 'table.json', 'w') as file:
        json.dump(results, file, indent=1)
    with atomic_write(args.out_dir / 'table.md', 'w') as file:
        file.write(f'{table}\n')
    print(table)


def main() -> None:
    """Run."""
    args = parse_args()
    with launch.short_errors():
        run(args)


if __name__ == '__main__':
    main()
