"""Steps of ``tools/train.py`` and ``tools/test.py`` before the runner."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from mmtpr.checkpoints.read import read_for_runner, read_named
from mmtpr.checkpoints.spared_files import spare_pretrained
from mmtpr.engine.brief_runner import BriefRunner
from mmtpr.engine.config_values import check_config_values, check_whole_groups
from mmtpr.engine.leftover_options import tidy
from mmtpr.engine.processes import (
    end_processes,
    refuse_fsdp1,
    start_processes,
)
from mmtpr.engine.required_hooks import require_fit, require_training_checks
from mmtpr.models.follow_encoder import follow_encoder
from mmtpr.utils.atomic import check_writable
from mmtpr.utils.config_file import read_config
from mmtpr.utils.errors import (
    LaunchError,
    NonFiniteLossError,
    told_message,
)
from mmtpr.utils.options import add_common_arguments
from mmtpr.utils.precision import allow_tf32

__all__ = [
    'add_common_arguments',
    'amp_dtype',
    'build_runner',
    'enable_amp',
    'enable_auto_scale_lr',
    'enable_test_amp',
    'end_processes',
    'load_config',
    'require_checkpoint',
    'require_fit',
    'require_training_checks',
    'set_tf32',
    'set_work_dir',
    'short_errors',
    'start_processes',
    'tidy',
    'use_checkpoint',
]

#: Seconds that the first process has to say what all have met. Launchers end
#: the others as soon as it did; where it met nothing, they say it themselves.
OTHERS_WAIT = 3.0


def load_config(
    path: str, options: dict | None = None, root: Path | None = None
) -> Config:
    """Read a config.

    Args:
        path (str): Path of the config, relative to the working directory or
            to ``root``.
        options (dict, optional): Overrides of single keys.
        root (Path, optional): Folder that holds ``configs/``.

    Returns:
        Config: The config with the overrides.

    Raises:
        LaunchError: If there is no such file, naming near ones, or a key that
            nothing reads is in it or in ``options``.
    """
    cfg = read_config(path, options, root)
    check_config_values(cfg)
    follow_encoder(cfg)
    return cfg


def set_work_dir(cfg: Config, work_dir: str | None, config: str) -> None:
    """Settle the work dir: command line, config, or the config's name.

    Args:
        cfg (Config): Changed in place.
        work_dir (str | None): From the command line.
        config (str): Path of the config.

    Raises:
        LaunchError: If nothing can be written there.
    """
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(config).stem)
    if not isinstance(cfg.work_dir, str):
        raise LaunchError(f'work_dir={cfg.work_dir!r}: it must be a path.')
    if os.path.exists(cfg.work_dir) and not os.path.isdir(cfg.work_dir):
        raise LaunchError(f'The work dir "{cfg.work_dir}" is a file.')
    check_writable(Path(cfg.work_dir) / 'log')


def enable_amp(cfg: Config) -> None:
    """Train and validate in mixed precision.

    The type is bfloat16, or float16 where a GPU lacks it.

    Args:
        cfg (Config): Changed in place.

    Raises:
        LaunchError: Without an accelerator, or if the config has an optimizer
            wrapper of its own kind.
    """
    if get_device() == 'cpu':
        raise LaunchError(
            '--amp needs a GPU: the AmpOptimWrapper of mmengine refuses '
            'CPUs, where mixed precision would not be faster anyway. Leave '
            '--amp out.'
        )
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise LaunchError(
            f'--amp replaces an OptimWrapper, but the config has "{kind}".'
        )
    if cfg.get('val_cfg') is not None:
        _enable_amp_of_loop(cfg.val_cfg)
    wrapper.type = 'AmpOptimWrapper'
    dtype = wrapper.setdefault('dtype', amp_dtype())
    if dtype == 'bfloat16':  # has the range of float32: nothing to scale
        wrapper.setdefault('loss_scale', dict(enabled=False))


def amp_dtype() -> str:
    """Name of the type that this machine computes fast in.

    Returns:
        str: ``'bfloat16'``, or ``'float16'`` on a GPU that only emulates it.
    """
    if not torch.cuda.is_available():
        return 'bfloat16'
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return 'bfloat16' if native else 'float16'


def set_tf32(cfg: Config, allowed: bool | None = None) -> None:
    """Settle how GPUs multiply float32 numbers in a training.

    Args:
        cfg (Config): The config; ``env_cfg.tf32`` says it.
        allowed (bool, optional): In its place, from the command line.
            Defaults to None.
    """
    if allowed is None:
        allowed = (cfg.get('env_cfg') or {}).get('tf32')
    if allowed is not None:
        allow_tf32(allowed)


def enable_test_amp(cfg: Config) -> None:
    """Test under autocast, in the type that :func:`amp_dtype` names.

    Args:
        cfg (Config): Changed in place.
    """
    _enable_amp_of_loop(cfg.test_cfg)


def _enable_amp_of_loop(loop: dict) -> None:
    loop['fp16'] = True
    if torch.cuda.is_available():
        # mmengine's loops take the default type of the device.
        torch.set_autocast_dtype('cuda', getattr(torch, amp_dtype()))


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate with the real batch size.

    Args:
        cfg (Config): Changed in place.

    Raises:
        LaunchError: If the config does not say which batch size its learning
            rate is meant for.
    """
    settings = cfg.get('auto_scale_lr') or {}
    if 'base_batch_size' not in settings:
        raise LaunchError(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) '
            'in the config: the batch size its learning rate is meant for.'
        )
    base = settings['base_batch_size']
    batch = (cfg.get('train_dataloader') or {}).get('batch_size') or base
    steps = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    sizes = ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
    given = [os.environ[name] for name in sizes if name in os.environ]
    world = int(given[0]) if given else 1
    # mmengine divides the batch of all processes by this, and knows nothing
    # of gradients that add up over iterations.
    cfg.auto_scale_lr = dict(
        settings, enable=True, base_batch_size=base / steps
    )
    print_log(
        'The learning rate is multiplied by '
        f'{world * batch * steps / base:g}: {world} processes x batch '
        f'{batch} x {steps} accumulated, for a base of {base}.',
        logger='current',
    )


def require_checkpoint(checkpoint: str) -> None:
    """Stop where a local checkpoint does not exist.

    Args:
        checkpoint (str): Path or address of the checkpoint.

    Raises:
        LaunchError: If there is no such file.
    """
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise LaunchError(f'No checkpoint "{checkpoint}".')


def use_checkpoint(
    cfg: Config, checkpoint: str, allow_partial: bool = False
) -> None:
    """Let a config be tested with a checkpoint that fits, or stop.

    Args:
        cfg (Config): Changed in place: what to load, no file of weights that
            a full checkpoint makes needless, and the check of its keys.
        checkpoint (str): Path or address of the checkpoint.
        allow_partial (bool): Whether one that lacks trained weights will do.
            Defaults to False.

    Raises:
        LaunchError: If there is no such file, or it is no checkpoint.
    """
    require_checkpoint(checkpoint)
    if '://' not in checkpoint:
        cfg.model = spare_pretrained(cfg.model, read_named(checkpoint))
    cfg.load_from, cfg.resume = checkpoint, False
    require_fit(cfg, test_only=True, allow_partial=allow_partial)


def build_runner(cfg: Config) -> Runner:
    """Build the runner that a config asks for.

    Args:
        cfg (Config): The config; ``runner_type`` names another class.

    Returns:
        Runner: The runner; without ``runner_type``, one whose console is
        short.

    Raises:
        LaunchError: If the config asks for FSDP1.
    """
    refuse_fsdp1(cfg)
    check_whole_groups(cfg)
    read_checkpoints_safely()
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return BriefRunner.from_cfg(cfg)


def read_checkpoints_safely() -> None:
    """Let mmengine read local checkpoints as mmtpr does.

    Damaged and foreign files then end in one sentence that names the file,
    instead of torch's advice to run what the file holds; so do addresses from
    which nothing comes.
    """
    for scheme, load in list(CheckpointLoader._schemes.items()):
        if scheme and not hasattr(load, '__wrapped__'):
            loader = _named_download(load)
            CheckpointLoader.register_scheme(scheme, loader, force=True)
    CheckpointLoader.register_scheme('', _read_local, force=True)


def _named_download(load: Callable) -> Callable:
    @wraps(load)
    def named(filename: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(filename, *args, **kwargs)
        except (URLError, ConnectionError, TimeoutError, ImportError) as error:
            why = str(getattr(error, 'reason', error)).rstrip('.')
            raise LaunchError(
                f'The checkpoint "{filename}" cannot be downloaded: {why}. '
                'Give the path of a file.'
            ) from error

    return named


def _read_local(filename: str, map_location: Any = None) -> dict:
    try:
        return read_for_runner(filename, map_location or 'cpu')
    except (ValueError, FileNotFoundError) as error:
        raise LaunchError(str(error)) from error


@contextmanager
def short_errors(shared_work: bool = False) -> Iterator[None]:
    """End the program with one message where a traceback says no more.

    Those are the errors that :func:`told_message` knows. With ``--debug`` on
    the command line all keep their traceback.

    Args:
        shared_work (bool): Whether each process does work of its own, so that
            every process says at once what it met. Defaults to False: a
            :class:`LaunchError` is likely met by all, and the others give the
            first one time to say it and to end the run.
    """
    try:
        yield
    except NonFiniteLossError as error:
        print_log(str(error), logger='current', level=logging.ERROR)
        sys.exit(1)
    except Exception as error:
        told = None if '--debug' in sys.argv else told_message(error)
        if told is None:
            raise
        # Mistakes in a config are met by all processes, in data by one.
        rank = os.environ.get('RANK', '0')
        alone = shared_work or not isinstance(error, LaunchError)
        if rank != '0' and not alone:
            time.sleep(OTHERS_WAIT)
        who = f' (process {rank})' if rank != '0' else ''
        sys.exit(f'error{who}: {told}')
