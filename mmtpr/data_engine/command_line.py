"""What the tools of the stages share."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import get_dist_info
from mmengine.logging import MMLogger

from mmtpr.engine import launch
from mmtpr.engine.processes import join_processes

from .engine_config import load_engine_config
from .ray_stage import run_stage_with_ray
from .run_stage import run_stage
from .stage import Stage
from .stage_folder import StageFolder

#: The first process to be done waits for the last.
_DAY = 24 * 3600


def run_from_command_line(
    args: argparse.Namespace,
    root: Path,
    build: Callable[[Config], tuple[Stage, StageFolder]],
) -> None:
    """Run a stage as a tool does.

    Args:
        args (Namespace): Of ``mmtpr.utils.options.engine_parser``.
        root (Path): Folder that holds ``configs/``.
        build (Callable): Gives the stage and its folder.
    """
    with launch.short_errors():
        cfg = load_engine_config(args.config, args.cfg_options, root)
        if not MMLogger.check_instance_created('mmtpr'):
            MMLogger.get_instance('mmtpr', logger_name='mmtpr')
        if args.launcher == 'ray':
            run_stage_with_ray(
                partial(build, cfg), args.ray_workers, args.ray_gpus
            )
            return
        # A server or a GPU may fail one process and not the others.
        with launch.short_errors(shared_work=True):
            join_processes(Config(), args.launcher, patience=_DAY)
            run_stage(*build(cfg))
    if get_dist_info()[1] > 1:
        launch.end_processes()
