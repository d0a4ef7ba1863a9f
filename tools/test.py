#!/usr/bin/env python
"""Test a checkpoint with a config."""

import argparse
import os
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_allow_partial,
    add_common_arguments,
    add_overwrite,
    check_output,
)

ROOT = Path(__file__).resolve().parents[1]

PICKLES = ('.pkl', '.pickle')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--out', help='file for the results: .json, .yml or .pkl'
    )
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what goes to --out; by default predictions to a .pkl file and '
        'metrics to any other',
    )
    parser.add_argument(
        '--amp', action='store_true', help='test under autocast'
    )
    add_allow_partial(parser)
    add_overwrite(parser)
    add_common_arguments(parser)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

import mmengine
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults

from mmtpr.engine import launch
from mmtpr.utils.precision import allow_tf32


def settle_out(args: argparse.Namespace) -> None:
    """Choose what goes to the output file and check its name."""
    if args.out is None:
        if args.out_item:
            raise LaunchError('--out-item needs --out FILE.')
        return
    suffix = Path(args.out).suffix
    check_output(args.out, args.overwrite, [args.checkpoint, args.config])
    if args.out_item is None:
        args.out_item = 'pred' if suffix in PICKLES else 'metrics'
    allowed = PICKLES
    if args.out_item == 'metrics':
        allowed += ('.json', '.yml', '.yaml')
    if suffix not in allowed:
        raise LaunchError(
            f'--out "{args.out}": {args.out_item} can be written to '
            f'{", ".join(allowed)}.'
        )


def prepare(args: argparse.Namespace) -> Config:
    """Merge the command line into the config."""
    settle_out(args)
    cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    launch.set_work_dir(cfg, args.work_dir, args.config)
    if not cfg.get('test_dataloader'):
        raise LaunchError(f'"{args.config}" has no test_dataloader.')
    launch.use_checkpoint(cfg, args.checkpoint, args.allow_partial)
    allow_tf32(False)
    if args.amp:
        launch.enable_test_amp(cfg)
    launch.tidy(cfg)
    launch.start_processes(cfg, args.launcher)
    return cfg


def main() -> None:
    """Test."""
    args = parse_args()
    with launch.short_errors():
        runner = launch.build_runner(prepare(args))
        if args.out_item == 'pred':
            dump = DumpResults(out_file_path=args.out)
            runner.test_evaluator.metrics.append(dump)
        metrics = runner.test()
        if args.out_item == 'metrics' and is_main_process():
            mmengine.dump(metrics, args.out)
    launch.end_processes()


if __name__ == '__main__':
    main()
