#!/usr/bin/env python
"""Train a model from a config."""

import argparse
import os
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import add_common_arguments

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from this checkpoint or, without a value, from the '
        'last one in the work dir; from the start if there is none',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train and validate in mixed precision (bf16) on a GPU',
    )
    parser.add_argument(
        '--tf32',
        action=argparse.BooleanOptionalAction,
        help='whether a GPU rounds the factors of float32 products, which is '
        'many times as fast; by default what env_cfg.tf32 says',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the real batch size',
    )
    add_common_arguments(parser)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.config import Config

from mmtpr.engine import launch
from mmtpr.engine.epoch_length import require_iterations
from mmtpr.engine.resume import (
    find_resume_checkpoint,
    warn_of_former_run,
)
from mmtpr.utils.run_lock import lock_output


def set_resume(cfg: Config, resume: str | None) -> None:
    """Say where to continue from; keeps ``load_from`` of a fresh start."""
    if resume is None and cfg.get('resume') and not cfg.get('load_from'):
        resume = 'auto'  # the config says so
    if resume == 'auto':
        resume = find_resume_checkpoint(cfg.work_dir)
        cfg.resume = resume is not None
    elif resume is not None and not Path(resume).is_file():
        raise LaunchError(f'No checkpoint "{resume}" to resume from.')
    if resume is not None:
        cfg.resume, cfg.load_from = True, resume
    else:
        warn_of_former_run(cfg.work_dir)


def prepare(args: argparse.Namespace) -> Config:
    """Merge the command line into the config."""
    cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    launch.set_work_dir(cfg, args.work_dir, args.config)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        launch.enable_amp(cfg)
    launch.set_tf32(cfg, args.tf32)
    if args.auto_scale_lr:
        launch.enable_auto_scale_lr(cfg)
    set_resume(cfg, args.resume)
    launch.require_fit(cfg)
    launch.require_training_checks(cfg)
    launch.tidy(cfg)
    launch.start_processes(cfg, args.launcher)
    return cfg


def main() -> None:
    """Train."""
    args = parse_args()
    with launch.short_errors():
        cfg = prepare(args)
        # Before the runner, which writes its config there.
        place = Path(cfg.work_dir)
        with lock_output(place / '.training.lock', f'The work dir "{place}"'):
            runner = launch.build_runner(cfg)
            require_iterations(runner)
            runner.train()
    launch.end_processes()


if __name__ == '__main__':
    main()
