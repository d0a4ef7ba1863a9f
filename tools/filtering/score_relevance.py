#!/usr/bin/env python
"""Score how well each image of a training set fits its caption.

The model of CONFIG, with the weights of CHECKPOINT, embeds the unfiltered
training pairs with the transforms of the test data, and ranks each caption
among a bank of captions of the target domain. The scores go to one file for
RelevanceFilteredDataset. A killed run goes on where it was when the same
command is given again. Several processes:

    torchrun --nproc-per-node 8 tools/filtering/score_relevance.py ... \
        --launcher pytorch
"""

import argparse
import os
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_allow_partial,
    add_config_options,
    add_embedding_options,
    add_launcher,
    add_pair_options,
    at_least,
)

ROOT = Path(__file__).resolve().parents[2]
DAY = 24 * 3600


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('config', help='config with the model and the data to score')
    add('checkpoint', nargs='?', help='weights; default: what CONFIG loads')
    add(
        '--bank',
        required=True,
        help='where the bank is drawn from: .txt or .json of captions, or a '
        '.py config whose training captions are taken',
    )
    add(
        '--bank-size',
        type=at_least(1),
        default=10000,
        help='captions in the bank',
    )
    add('--seed', type=at_least(0), default=0, help='seed of the draw')
    add(
        '--allow-smaller-bank',
        action='store_true',
        help='take all captions where there are fewer than --bank-size',
    )
    add('--out', required=True, help='score file to write (.npz)')
    add(
        '--shard-size',
        type=at_least(1),
        default=8192,
        help='pairs saved at once',
    )
    add_pair_options(parser)
    add_embedding_options(parser)
    add(
        '--skip-broken',
        action='store_true',
        help='rank pairs with an unreadable image last instead of stopping',
    )
    add(
        '--overwrite',
        action='store_true',
        help='replace a score file of another run',
    )
    add_allow_partial(parser)
    _add_config_options(parser)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    add_config_options(parser, what='CONFIG')
    add_config_options(
        parser, '--bank-cfg-options', 'the config given as --bank'
    )
    add_launcher(parser)


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.config import Config
from mmengine.dist import get_dist_info
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mmtpr.engine import launch
from mmtpr.engine.processes import join_processes
from mmtpr.filtering import sample_bank, setup
from mmtpr.filtering.run import describe_run, run_scoring
from mmtpr.utils.atomic import check_writable
from mmtpr.utils.precision import allow_tf32
from mmtpr.utils.run_lock import lock_output


def start(args: argparse.Namespace) -> Config:
    """Read the config and join the other processes."""
    cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    # The first process to be done waits for the last.
    join_processes(cfg, args.launcher, patience=DAY)
    allow_tf32(False)
    if not MMLogger.check_instance_created('mmtpr'):
        MMLogger.get_instance('mmtpr', logger_name='mmtpr')
    if not args.out.endswith('.npz'):
        raise LaunchError(f'--out must end in .npz, got "{args.out}".')
    check_writable(args.out)
    if args.bank_cfg_options and not args.bank.endswith('.py'):
        raise LaunchError(f'--bank-cfg-options: "{args.bank}" is no config.')
    return cfg


def draw_bank(args: argparse.Namespace) -> list[str]:
    """Draw the bank."""
    captions = setup.load_bank_captions(args.bank, args.bank_cfg_options)
    return sample_bank(
        captions,
        args.bank_size,
        args.seed,
        allow_smaller=args.allow_smaller_bank,
        source=f'the captions of "{args.bank}"',
    )


def main() -> None:
    """Score."""
    args = parse_args()
    with launch.short_errors():
        cfg = start(args)
        bank = draw_bank(args)
        pairs = setup.load_pairs(
            cfg, args.dataset, args.image_key, args.caption_key
        )
        scorer, who = setup.build_scorer(
            cfg,
            args.config,
            args.checkpoint,
            args.pipeline,
            args.allow_partial,
            batch_size=args.batch_size,
            num_workers=args.num_workers,
            amp=args.amp,
            skip_broken=args.skip_broken,
        )
        source = dict(source=args.bank, seed=args.seed)
        meta = describe_run(pairs, bank, who, source)
        name = f'The score file "{args.out}"'
        with lock_output(f'{args.out}.lock', name):
            run_scoring(
                scorer,
                pairs,
                bank,
                meta,
                args.out,
                args.shard_size,
                args.overwrite,
            )
    if get_dist_info()[1] > 1:
        launch.end_processes()


if __name__ == '__main__':
    main()
